import type { Parsed } from '../../base/diagnostic.ts';
import {
  type Format,
  type Line,
  Problems,
  readLines,
  readRow,
  refusalIn,
  reportEmpty,
} from './common.ts';
import { BOOT_FORMS } from './dmesg-boot.ts';
import type { LogFact, LogFactOf } from './dmesg-facts.ts';
import type { LogForm } from './dmesg-form.ts';
import { kernelMessage } from './dmesg-line.ts';
import { MTRR_FORMS } from './dmesg-mtrr.ts';
import { PAT_FORMS } from './dmesg-pat.ts';

/** What a kernel log says about memory types. A log may hold several boots: facts are in its order. */
export interface KernelLog {
  readonly facts: readonly LogFact[];
}

const FORMAT: Format = {
  name: 'a kernel log',
  shape: '[    0.000000] MTRR default type: write-back',
  refusals: {
    'Operation not permitted':
      'only root reads the log here (kernel.dmesg_restrict): capture it again as root, or take journalctl -k',
    'Permission denied': 'capture it again as root, or take journalctl -k',
  },
};

const LOG_FORMS: readonly LogForm[] = [...BOOT_FORMS, ...MTRR_FORMS, ...PAT_FORMS];

/** Only what a tool says before its first colon tells its refusals from the kernel's own messages. */
const SAID_BY_TOOL = /^(?:cat|dmesg|journalctl|sudo|(?:\S*\/)?(?:ba|da|z)?sh|grep|tail|head): /;

/** Whether a message, without what stands before it, is one that is read here. */
export function isAboutMemtypes(message: string): boolean {
  return LOG_FORMS.some(({ hint }) => hint.test(message));
}

function readMessage(line: Line, problems: Problems): LogFact | null {
  const form = LOG_FORMS.find((candidate) => candidate.hint.test(line.text));
  if (form !== undefined) {
    const statement = readRow(line, form.forms, problems, form.shape);
    return statement === null ? null : { ...statement, line: line.number };
  }
  if (SAID_BY_TOOL.test(line.text) && refusalIn(line.text) !== null) problems.stranger(line);
  return null;
}

/**
 * The lines of a kernel log that concern memory types, with any prefix that dmesg, journalctl, syslog
 * or a serial console puts before them. All other lines are read over; a line that begins like one of
 * ours and does not parse is a problem.
 */
export function parseDmesg(text: string, file: string): Parsed<KernelLog> {
  const problems = new Problems(file, FORMAT);
  const lines = readLines(text, problems);
  const facts = lines.flatMap((line) => readMessage(kernelMessage(line), problems) ?? []);
  if (lines.length === 0 && problems.list.length === 0) {
    reportEmpty(problems, 'capture it again as root: dmesg, or journalctl -k -b');
  }
  return { value: { facts }, problems: problems.list };
}

/** The facts of one kind, in the order of the log. */
export function factsOf<K extends LogFact['kind']>(
  log: KernelLog,
  kind: K,
): readonly LogFactOf<K>[] {
  return log.facts.filter((fact): fact is LogFactOf<K> => fact.kind === kind);
}
