/* librdkafka's mock cluster: prints its address, makes the topics of its arguments (name and partitions in turn), and
 * has requests fail as lines "api error" of its input say, until that ends. */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  char reason[256];
  int api, error;
  rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), reason, sizeof reason);
  if (handle == NULL) return 1;
  rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(handle, 1);
  for (int at = 1; at + 1 < argc; at += 2)
    rd_kafka_mock_topic_create(cluster, argv[at], atoi(argv[at + 1]), 1);
  printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  fflush(stdout);
  while (scanf("%d %d", &api, &error) == 2) {
    rd_kafka_mock_push_request_errors(cluster, api, 1, error);
    printf("pushed\n");
    fflush(stdout);
  }
  return 0;
}
