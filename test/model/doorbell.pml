/*
 * The doorbell: no process sleeps through an event (docs/protocols.md).
 *
 * A publisher sends NOTIFY only if some process is armed: if the sequence `armed` says so, which note_armed()
 * has set to whether some row of `doorbells` is by the time that its process is answered. A process that may
 * sleep arms its row, then asks for the horizon, which includes a look at who is publishing, then reads; it
 * sleeps only if nobody publishes, no number was drawn up to that look, and there is nothing to read. The
 * safety poll that Tidemark runs each second is left out: the protocol has to do without it.
 *
 * A step of this model (a d_step, or a statement outside one) is one thing that happens at once. Its
 * comment names the SQL or the code that it stands for; draw_sequence() and horizon() are in
 * migrations/, the process is Tail.follow in packages/core/src/outbox/read/tail.ts.
 *
 * What -D selects:
 *   PUBLISHERS, WINDOW   as in horizon.pml
 *   PROCESSES            how many processes read, each with a cursor and a doorbell of its own
 *   RESTART              the server crashes at any time: doorbells is an unlogged table and comes back empty
 *   RECONNECT            the connection that listens breaks at any time, and is then made again
 * Broken on purpose; the model must find each of them out:
 *   READ_BEFORE_LOOK     reads, then looks who is publishing
 *   ARM_LAST             arms after look and read
 *   IGNORE_STILL         sleeps although a number was drawn between the two steps of horizon()
 *   SEPARATE_LOOK        looks first and then asks for a horizon, whose own floor it does not mind
 *   CHECK_BEFORE_LOCK    the publisher looks at the doorbells before it takes its lock
 *   STALE_SNAPSHOT       a REPEATABLE READ publisher reads the table of doorbells, with its old snapshot
 *   NO_LATCH             a bell that rings between the read and the sleep is not remembered
 *   POLL_BEFORE_LISTEN   with RECONNECT: reads first and listens then
 *   KEEP_BELIEF          with RESTART: believes that it is still armed when it connects again
 *   REACH                claims that no bell ever wakes a process: refuting it shows that the search
 *                        gets there
 */
#ifndef PUBLISHERS
#define PUBLISHERS 2
#endif
#ifndef WINDOW
#define WINDOW 2
#endif
#ifndef PROCESSES
#define PROCESSES 1
#endif

#define NONE 15                          /* no lock held, no floor read, no round under way */
#define row(n) (1 << ((n) - 1))          /* the set of row n alone */
#define upto(n) ((1 << (n)) - 1)         /* the set of rows 1..n */

byte last;                               /* the sequence's last_value */
byte visible;                            /* the rows that a new snapshot sees */
bit armed[PROCESSES];                    /* doorbells.armed */

byte floorRead[PUBLISHERS] = NONE;       /* what the trigger has read and not yet locked */
byte lock[PUBLISHERS] = NONE;            /* the floor of the shared advisory lock that it holds */
byte rows[PUBLISHERS];                   /* inserted and not yet visible */
bit publishing[PUBLISHERS];              /* in a transaction that has published, up to its last step */
bit notifies[PUBLISHERS];                /* has called pg_notify() */
bit ringing[PUBLISHERS];                 /* has committed and not yet signalled the listeners */

byte cursor[PROCESSES];
byte bound[PROCESSES] = NONE;            /* the highest number to read in this round */
bit calm[PROCESSES];                     /* what this round has seen so far allows to sleep */
bit asleep[PROCESSES];
bit bell[PROCESSES];                     /* a notification is on its way, or latched in the process */

#ifdef RECONNECT
bit deaf[PROCESSES];                     /* its connection is broken and not yet replaced */
#define hears(c) (!deaf[c])
#else
#define hears(c) true
#endif

#ifdef RESTART
bit killed[PUBLISHERS], cut[PROCESSES];
#define or_dies(guard, restart) unless { guard -> restart }
#else
#define or_dies(guard, restart)
#endif

#ifdef BREADTH_FIRST
#define aside
#else
#define aside hidden
#endif
aside byte forgotten;                    /* how many numbers are forgotten, to print the real ones */
aside byte i, n, m;                      /* scratch of a d_step: never read before it is set */

/*
 * G6 without the safety poll: a process that sleeps, to whom no bell is on its way, has read every
 * visible row that nobody who publishes holds back.
 */
inline nobody_forgotten() {
    i = 0; m = NONE; n = false;
    do
    :: i < PUBLISHERS -> m = (lock[i] < m -> lock[i] : m); n = n || ringing[i]; i++
    :: else -> break
    od;
    m = (m < last -> m : last);
    i = 0;
    do
    :: i < PROCESSES ->
        assert(!asleep[i] || bell[i] || n || !hears(i) || (visible & upto(m) & ~upto(cursor[i])) == 0);
        i++
    :: else -> break
    od;
    i = 0                                /* a d_step may not end in a jump */
}

/* As in horizon.pml: drops number 1 when it can make no difference any more, and moves the others down. */
inline forget_settled() {
    do
    :: last ->
        i = 0; n = true;
        do
        :: i < PUBLISHERS -> n = n && floorRead[i] && lock[i] && !(rows[i] & 1); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PROCESSES -> n = n && bound[i] && (cursor[i] || !(visible & 1)); i++
        :: else -> break
        od;
        if
        :: n ->
            last--; visible = visible >> 1;
            i = 0;
            do
            :: i < PUBLISHERS ->
                rows[i] = rows[i] >> 1;
                floorRead[i] = (floorRead[i] != NONE -> floorRead[i] - 1 : NONE);
                lock[i] = (lock[i] != NONE -> lock[i] - 1 : NONE);
                i++
            :: else -> break
            od;
            i = 0;
            do
            :: i < PROCESSES ->
                cursor[i] = (cursor[i] -> cursor[i] - 1 : 0);
                bound[i] = (bound[i] != NONE -> bound[i] - 1 : NONE);
                i++
            :: else -> break
            od;
            forgotten++
        :: else -> break
        fi
    :: else -> break
    od;
    i = 0
}

/* n := whether some doorbell is armed */
inline look_at_doorbells() {
    i = 0; n = false;
    do
    :: i < PROCESSES -> n = n || armed[i]; i++
    :: else -> break
    od
}

/* Each process that listens gets the notification; whether it is armed by now does not matter. */
inline ring() {
    i = 0;
    do
    :: i < PROCESSES ->
        if
        :: hears(i) -> bell[i] = true
        :: else
        fi;
        i++
    :: else -> break
    od
}

proctype Publisher(byte me) {
#if defined(STALE_SNAPSHOT) || defined(CHECK_BEFORE_LOCK)
    bit early;                           /* what it saw before it took its lock */
#endif
session:
    {
    do
    ::  d_step {
            /* Sessions are alike: of the idle ones the first begins. */
            !publishing[me] && (me == 0 || publishing[me - 1]) ->
            publishing[me] = true;
#if defined(STALE_SNAPSHOT) || defined(CHECK_BEFORE_LOCK)
            look_at_doorbells();
            early = n;
            printf("publisher %d sees armed %d, early\n", me, early)
        };
        d_step {
#endif
            floorRead[me] = last;        /* pg_sequence_last_value('events_sequence') */
            printf("publisher %d reads floor %d\n", me, forgotten + last)
        };
        d_step {                         /* pg_advisory_xact_lock_shared(floor) */
            lock[me] = floorRead[me];
            floorRead[me] = NONE;
            printf("publisher %d takes the lock on floor %d\n", me, forgotten + lock[me])
        };
        if
        :: d_step {                      /* pg_sequence_last_value('armed') */
#ifdef CHECK_BEFORE_LOCK
               notifies[me] = early;
#else
               look_at_doorbells();
               notifies[me] = n;
#endif
               printf("publisher %d sees armed %d\n", me, notifies[me])
           }
#ifdef STALE_SNAPSHOT
        :: d_step {                      /* EXISTS (SELECT FROM doorbells WHERE armed) under REPEATABLE READ */
               notifies[me] = early;
               printf("publisher %d saw armed %d in its snapshot\n", me, notifies[me])
           }
#endif
        :: d_step {                      /* the number is 1 for nobody, or is not known: rings all the same */
               notifies[me] = true;
               printf("publisher %d rings for nobody\n", me)
           }
        fi;
        do
        :: d_step {                      /* nextval() and the row */
               last < WINDOW ->
               last++;
               rows[me] = rows[me] | row(last);
               printf("publisher %d draws %d and inserts its row\n", me, forgotten + last)
           }
        :: break
        od;
        if
        ::  d_step {                     /* COMMIT: ProcArrayEndTransaction, new snapshots see the rows … */
                visible = visible | rows[me];
                rows[me] = 0;
                ringing[me] = notifies[me];
                printf("publisher %d has committed: its rows are visible\n", me);
                nobody_forgotten()
            };
            d_step {                     /* … then the locks go … */
                lock[me] = NONE;
                publishing[me] = ringing[me];
                printf("publisher %d releases its lock\n", me);
                nobody_forgotten();
                forget_settled()
            }
        ::  d_step {                     /* ROLLBACK: what it wanted to notify is thrown away */
                rows[me] = 0; lock[me] = NONE; notifies[me] = false; publishing[me] = false;
                printf("publisher %d rolls back\n", me);
                nobody_forgotten();
                forget_settled()
            }
        fi
    ::  d_step {                         /* … then AtCommit_Notify signals the backends that listen */
            ringing[me] ->
            ring();
            ringing[me] = false; notifies[me] = false; publishing[me] = false;
            printf("publisher %d rings\n", me);
            nobody_forgotten()
        }
    od
    }
    or_dies(killed[me], killed[me] = false; goto session)
}

/* horizon(): last_sequence := pg_sequence_last_value(…) */
inline read_last_number() {
    d_step { bound[me] = last; printf("process %d reads the last number, %d\n", me, forgotten + last) }
}

/* horizon(): SELECT min(p.floor) INTO lowest_floor … A publisher in flight: read again soon, don't sleep. */
inline look_at_publishers(minds, bounds) {
    d_step {
        i = 0; m = NONE;
        do
        :: i < PUBLISHERS -> m = (lock[i] < m -> lock[i] : m); i++
        :: else -> break
        od;
        calm[me] = calm[me] && (!(minds) || m == NONE);
        bound[me] = (bounds && m < bound[me] -> m : bound[me]);
        printf("process %d looks who publishes: lowest floor %d\n", me, (m == NONE -> -1 : forgotten + m))
    }
}

/* horizon(): still := last_sequence = pg_sequence_last_value(…) */
inline look_whether_still() {
    d_step {
        calm[me] = calm[me] && bound[me] == last;
        printf("process %d may sleep so far: %d\n", me, calm[me])
    }
}

inline fall_asleep() {
    asleep[me] = calm[me];
    calm[me] = false;
    printf("process %d falls asleep: %d\n", me, asleep[me]);
    nobody_forgotten();
    forget_settled()
}

/* SELECT … WHERE sequence > cursor AND sequence <= bound: another statement, another snapshot. */
inline read_page() {
    d_step {
        m = visible & upto(bound[me]) & ~upto(cursor[me]);
        calm[me] = calm[me] && !m;
        n = WINDOW;
        do
        :: n && !(m & row(n)) -> n--
        :: else -> break
        od;
        cursor[me] = (n > cursor[me] -> n : cursor[me]);
        bound[me] = NONE;
        printf("process %d reads its page, cursor %d\n", me, forgotten + cursor[me]);
#if !defined(ARM_LAST) && !defined(NO_LATCH) && !defined(READ_BEFORE_LOOK)
        fall_asleep()                    /* nothing that happens in between is lost: the bell is latched */
#endif
    }
}

proctype Process(byte me) {
    bit believes;                        /* that it is armed: it does not write its row again */

round:
    {
    do
    ::  /* What rings from here on is remembered (latched); what rang before is forgotten. */
#ifdef ARM_LAST
        d_step { bell[me] = false; calm[me] = true };
#else
        if
        :: d_step { believes -> bell[me] = false; calm[me] = true }
        :: d_step {                      /* arm_doorbell: the commit of … SET armed = true */
               !believes ->
               armed[me] = true; believes = true; bell[me] = false; calm[me] = true;
               printf("process %d is armed\n", me)
           }
        :: d_step {                      /* a rush: disarm and poll */
               armed[me] = false; believes = false; bell[me] = false;
               printf("process %d disarms and polls\n", me)
           }
        fi;
#endif
#if defined(SEPARATE_LOOK)
        look_at_publishers(true, false);
        read_last_number();
        look_at_publishers(false, true);
        read_page();
#elif defined(READ_BEFORE_LOOK)
        read_last_number();
        look_at_publishers(false, true);
        read_page();
        look_at_publishers(true, false);
        d_step { fall_asleep() };
#else
        read_last_number();
        look_at_publishers(true, true);
#ifndef IGNORE_STILL
        look_whether_still();
#endif
        read_page();
#endif
#if defined(ARM_LAST)
        d_step { armed[me] = true; printf("process %d is armed\n", me) };
        d_step { fall_asleep() };
#elif defined(NO_LATCH)
        d_step { bell[me] = false; fall_asleep() };
#endif
        if
        :: asleep[me] ->
            d_step {
                bell[me] ->
                asleep[me] = false;
                printf("process %d is woken\n", me)
            };
#ifdef REACH
            assert(false)
#endif
        :: else
        fi
    od
    }
    or_dies(cut[me], d_step {
        cut[me] = false; asleep[me] = false; bound[me] = NONE; calm[me] = false;
#ifndef KEEP_BELIEF
        believes = false;
#endif
        printf("process %d connects again\n", me)
    }; goto round)
}

#ifdef RECONNECT
/* The listening connection: nothing rings while it is down; the process polls once it listens again. */
proctype Connection(byte me) {
    do
    :: d_step { deaf[me] = true; printf("process %d is deaf\n", me) };
#ifdef POLL_BEFORE_LISTEN
        d_step { bell[me] = true; printf("process %d polls\n", me) };
        d_step { deaf[me] = false; printf("process %d listens again\n", me); nobody_forgotten() }
#else
        d_step { deaf[me] = false; bell[me] = true; printf("process %d listens again and polls\n", me) }
#endif
    od
}
#endif

#ifdef RESTART
/* Synchronous commits survive. Open transactions, doorbells and notifications do not; every process
   notices that its connections are gone, connects and begins a round. */
active proctype Crash() {
    do
    :: d_step {
        i = 0;
        do
        :: i < PUBLISHERS ->
            killed[i] = killed[i] || publishing[i];
            rows[i] = 0; lock[i] = NONE; floorRead[i] = NONE;
            publishing[i] = false; notifies[i] = false; ringing[i] = false;
            i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < PROCESSES -> armed[i] = false; bell[i] = false; cut[i] = true; asleep[i] = false; bound[i] = NONE; i++
        :: else -> break
        od;
        printf("the server crashes\n")
       }
    od
}
#endif

init {
    byte p;
    atomic {
        do
        :: p < PUBLISHERS -> run Publisher(p); p++
        :: else -> break
        od;
        p = 0;
        do
        :: p < PROCESSES ->
            run Process(p);
#ifdef RECONNECT
            run Connection(p);
#endif
            p++
        :: else -> break
        od
    }
}
