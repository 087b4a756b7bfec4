/** A text that may repeat what somebody has typed, with the passwords of its connection strings as three stars. */
export function withoutPasswords(text: string): string {
  return text
    .replaceAll(/(?<user>\b[a-z][\w+.-]*:\/\/[^\s:@/]*:)\S*@/giu, '$<user>***@')
    .replaceAll(/(?<name>\bpassword=)[^\s&]*/giu, '$<name>***')
}
