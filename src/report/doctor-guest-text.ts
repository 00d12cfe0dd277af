import type { Diagnosis } from '../doctor/diagnose.ts';
import type { GuestSide } from '../doctor/guest-side.ts';
import { factWords } from './doctor-words.ts';
import { labelled, table, wrap } from './wrap.ts';

/** What the requests of this machine's drivers become, where it is a guest. */
export function guestLines(d: Diagnosis, side: GuestSide, width: number): readonly string[] {
  const gpus = factWords(d.facts.virtioGpus, (list) =>
    list.length === 0
      ? 'none'
      : list
          .map(
            (g) =>
              `${g.name}, blob resources ${g.blob === true ? 'on' : g.blob === false ? 'off' : '?'}`,
          )
          .join('; '),
  );
  const rows = side.requests.map((r) => [
    `  ${r.asks}`,
    ...r.types.map((types) => types.join('|')),
  ]);
  if (side.notKvm !== null) {
    const text = `Its hypervisor is ${side.notKvm}, not KVM: what that makes of the types that drivers ask is not known here.`;
    return [...labelled('  ', text, width), ...labelled('  virtio-gpu  ', gpus, width)];
  }
  return [
    ...wrap(
      'What its drivers ask for RAM becomes on a KVM host (kernel 6.16 or later) with:',
      width - 2,
    ).map((line) => `  ${line}`),
    ...table([['  driver asks', ...side.hosts.map((h) => h.name)], ...rows], width),
    ...side.hosts.flatMap((h) => labelled(`  ${h.name.padEnd(8)} `, h.what, width)),
    ...(d.facts.pat.known
      ? []
      : labelled('  ', 'Several types: whether this guest has PAT on is not known.', width)),
    ...labelled('  virtio-gpu  ', gpus, width),
    ...labelled(
      '  which host it is: ',
      'cannot be told from inside; run doctor on the host.',
      width,
    ),
  ];
}
