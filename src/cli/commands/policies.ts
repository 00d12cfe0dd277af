import { cite } from '../../cite/sources.ts';
import { ERAS } from '../../kvm/eras/index.ts';
import { NAMED_POLICIES } from '../../kvm/policies.ts';
import { SPANS } from '../../kvm/timeline.ts';
import { labelled } from '../../report/wrap.ts';
import type { Io } from '../io.ts';

const WIDTH = 80;

function policiesText(): string {
  const lines = [
    'Eras of vmx_get_mt_mask() (memtype rule E8 shows one in full):',
    ...ERAS.flatMap((e) => [
      ...labelled(`  ${e.id.padEnd(4)} `, e.kernels, WIDTH),
      ...labelled('       ', e.felt, WIDTH),
    ]),
    '',
    'Proposals (none is in a released kernel in this form):',
    ...NAMED_POLICIES.flatMap((p) => [
      ...labelled(`  ${p.id.padEnd(16)} `, p.title, WIDTH),
      ...labelled('      ', `${p.text} Posted against, or taken on, ${p.base}.`, WIDTH),
    ]),
    '',
    `${SPANS.length} spans of kernels, from 2.6.26-rc2 on, differ in at least one rule.`,
  ];
  return `${lines.join('\n')}\n`;
}

function policiesJson(): string {
  const json = {
    schemaVersion: 1,
    eras: ERAS.map(({ id, kernels, felt, sources }) => ({
      id,
      kernels,
      felt,
      sources: sources.map(cite),
    })),
    proposals: NAMED_POLICIES.map(({ id, title, text, base }) => ({ id, title, text, base })),
    spans: SPANS.map((span) => ({
      from: span.from.text,
      to: span.to?.text ?? null,
      rules: span.rules.map((r) => ({
        vmx: r.vmx.id,
        svm: r.svm.id,
        mmio: r.mmio.id,
        guestMtrr: r.guestMtrr,
        hugePage: r.hugePage,
        noncoherent: r.noncoherent.id,
        zap: r.zap.id,
      })),
    })),
  };
  return `${JSON.stringify(json, null, 2)}\n`;
}

/** `memtype policies`: the eras and the proposals. */
export async function runPolicies(format: 'text' | 'json', io: Io): Promise<number> {
  io.write(format === 'json' ? policiesJson() : policiesText());
  return 0;
}
