import type { Form } from './common.ts';
import type { LogStatement } from './dmesg-facts.ts';

/** The wordings of one kind of line in a kernel log. */
export interface LogForm {
  /** Matches every line that means to be of this kind; one that fits no form is then a problem. */
  readonly hint: RegExp;
  /** One line as it should look. */
  readonly shape: string;
  readonly forms: readonly Form<LogStatement>[];
}
