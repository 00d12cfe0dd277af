import { type Diagnostic, printable } from '../base/diagnostic.ts';
import type { Diagnosis } from '../doctor/diagnosis/diagnose.ts';
import { findingLines, headline, nextStep, shownFindings } from './doctor-finding-text.ts';
import { guestLines } from './doctor-guest-text.ts';
import { machineLines } from './doctor-machine-text.ts';
import { traceLines } from './doctor-trace-text.ts';
import { vmLines } from './doctor-vm-text.ts';
import { count, guestPatWords, patQuirkMatters } from './doctor-words.ts';
import { labelled, wrap } from './wrap.ts';

/** Columns of a terminal or a pipe, and of a mail. */
export const TEXT_WIDTH = 80;
export const MAIL_WIDTH = 72;

function section(title: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', title, ...lines];
}

const LEGEND =
  'coherent: each side sees what the other wrote; the columns of devices say what would hold for such a ' +
  'device. With a code: see memtype rule CODE. A question mark: it depends on what is not known.';

/** By what would tell. */
function unknownLines(d: Diagnosis, width: number): readonly string[] {
  const remedies = [...new Set(d.unknowns.map((u) => u.remedy))];
  return remedies.flatMap((remedy) => [
    ...labelled('  ', `${remedy}:`, width),
    ...d.unknowns
      .filter((u) => u.remedy === remedy)
      .flatMap((u) => labelled('    - ', `${u.what}: ${u.why}`, width)),
  ]);
}

function problemLines(problems: readonly Diagnostic[], width: number): readonly string[] {
  return problems.flatMap((p) => {
    const where = p.place === undefined ? '' : `${p.place.file}:${p.place.line}: `;
    return labelled('  - ', `${where}${p.message}`, width);
  });
}

/** The question that is asked before there is a VM, where no finding answers it. */
function guestPatLines({ guestPat, vms, findings }: Diagnosis, width: number): readonly string[] {
  const isAsked = !vms.some(({ vm }) => vm.evidence === 'fd');
  if (guestPat === null || !isAsked || findings.some((f) => f.code === 'MT609')) return [];
  return labelled('  ', guestPatWords(guestPat), width);
}

/** Verdict and fix stand in the first three lines. */
function verdictLines(d: Diagnosis, width: number): readonly string[] {
  const { shown, more, remarks } = shownFindings(d);
  const next = nextStep(d);
  const open = d.undetermined.flatMap((u) => labelled('  - ', u, width));
  return [
    ...wrap(headline(d), width),
    ...shown.flatMap((f, i) => [...(i === 0 ? [] : ['']), ...findingLines(f, width)]),
    ...(more > 0 ? ['', `${count(more, 'more possible problem')}: see --format json.`] : []),
    ...guestPatLines(d, width),
    ...(shown.length > 0 && remarks.length > 0 ? [''] : []),
    ...remarks.flatMap((title) => wrap(title, width, '  ')),
    ...(shown.length + remarks.length > 0 && open.length > 0 ? [''] : []),
    ...(open.length > 0 ? ['LEFT OPEN', ...open] : []),
    ...(next === null ? [] : labelled('  to know more: ', next, width)),
  ];
}

/** Every region's table, then what the machine is made of. */
export function detailSections(
  d: Diagnosis,
  width: number,
): Readonly<Record<string, readonly string[]>> {
  const quirk = patQuirkMatters(d);
  const isOdd = (p: Diagnostic): boolean => p.severity === 'warning' && p.place !== undefined;
  const { problems } = d.facts;
  const vms = d.vms.flatMap((vm) => vmLines(vm, quirk, width)).slice(1);
  const legend = d.vms.some((vm) => vm.regions.length > 0) ? ['', ...wrap(LEGEND, width)] : [];
  return {
    'VIRTUAL MACHINES': [...vms, ...legend],
    'THE TRACE': traceLines(d, width),
    'THIS MACHINE AS A GUEST': d.guestSide === null ? [] : guestLines(d, d.guestSide, width),
    'THIS MACHINE': machineLines(d, width),
    'WHAT COULD NOT BE KNOWN, BY WHAT WOULD TELL': unknownLines(d, width),
    'ODD INPUT': problemLines(problems.filter(isOdd), width),
    'FILES THAT COULD NOT BE UNDERSTOOD': problemLines(
      problems.filter((p) => !isOdd(p)),
      width,
    ),
  };
}

/**
 * A diagnosis as text: verdict, fixes, the tables of its VMs, the machine, what is not known.
 * Of remarks that only may apply it has the titles.
 *
 * @param width columns; commands to copy are not wrapped and may be wider
 */
export function doctorText(d: Diagnosis, width: number = TEXT_WIDTH): string {
  const details = Object.entries(detailSections(d, width));
  const lines = [
    ...verdictLines(d, width),
    ...details.flatMap(([title, body]) => section(title, body)),
  ];
  return `${lines.map(printable).join('\n')}\n`;
}
