/** Something that the person at the keyboard can mend: printed as a sentence and a way out, without a stack. */
export class Fault extends Error {
  /**
   * @param {string} message what is wrong
   * @param {string} wayOut what to do about it
   * @param {number} exitCode of the whole command
   */
  constructor(message, wayOut, exitCode = 1) {
    super(message);
    this.wayOut = wayOut;
    this.exitCode = exitCode;
  }
}
