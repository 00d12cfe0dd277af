import { AUDIT_FINDINGS, hasExampleFacts } from '../audit/kinds.ts';
import { allRules, type Rule } from '../cite/rule.ts';
import { cite, type SourceId } from '../cite/sources.ts';
import { DOCTOR_FINDINGS } from '../doctor/findings.ts';
import type { DecisionList, EptChoice } from '../kvm/decision.ts';
import { ERAS } from '../kvm/eras/index.ts';
import { MMIO_RULES } from '../kvm/mmio.ts';
import { NAMED_POLICIES, proposalRules } from '../kvm/policies.ts';
import { SVM_ERAS } from '../kvm/svm.ts';
import { BACKINGS } from '../linux/backing.ts';
import type { VerdictKind } from '../resolve/verdict.ts';
import { VERDICTS } from '../resolve/verdicts/index.ts';

/** A rule, an era, a backing class or a verdict as a page. */
export interface RulePage {
  readonly id: string;
  readonly kind: 'rule' | 'decision list' | 'backing' | 'verdict';
  readonly title: string;
  /** Named paragraphs; a table keeps its line breaks. */
  readonly sections: readonly {
    readonly name: string;
    readonly text: string;
    readonly table?: boolean;
  }[];
  readonly sources: readonly SourceId[];
}

function listTable<Q, R>(list: DecisionList<Q, R>, show: (r: R) => string): string {
  return list
    .map(({ when, returns, why }, i) =>
      [
        `${i + 1}. ${when === null ? 'otherwise' : `if ${when.text}`}`,
        `       return ${show(returns)}`,
        `       (${why})`,
      ].join('\n'),
    )
    .join('\n');
}

function eptWords({ memtype, ipat }: EptChoice): string {
  return ipat ? `${memtype} | IPAT` : memtype;
}

function vmxPages(): readonly RulePage[] {
  const proposed = NAMED_POLICIES.map((p) => proposalRules(p).vmx);
  const eras = [...new Set([...ERAS, ...proposed])];
  return eras.map((era) => ({
    id: `vmx_get_mt_mask/${era.id}`,
    kind: 'decision list',
    title: `EPT leaf types, ${era.kernels}`,
    sections: [
      { name: 'in', text: era.where },
      { name: 'steps', text: listTable(era.vmx_get_mt_mask, eptWords), table: true },
      { name: 'felt', text: era.felt },
    ],
    sources: era.sources,
  }));
}

function mmioPages(): readonly RulePage[] {
  const proposed = NAMED_POLICIES.map((p) => proposalRules(p).mmio);
  return [...new Set([...MMIO_RULES, ...proposed])].map((mmio) => ({
    id: `kvm_is_mmio_pfn/${mmio.id}`,
    kind: 'decision list',
    title: `Is this page host MMIO? ${mmio.kernels}`,
    sections: [
      { name: 'steps', text: listTable(mmio.kvm_is_mmio_pfn, String), table: true },
      ...(mmio.note === undefined ? [] : [{ name: 'note', text: mmio.note }]),
    ],
    sources: mmio.sources,
  }));
}

function svmPages(): readonly RulePage[] {
  const proposed = NAMED_POLICIES.map((p) => proposalRules(p).svm);
  return [...new Set([...SVM_ERAS, ...proposed])].flatMap((svm) => [
    {
      id: `svm_npt_leaf/${svm.id}`,
      kind: 'decision list' as const,
      title: `Types of nested leaves on AMD, ${svm.kernels}`,
      sections: [
        { name: 'steps', text: listTable(svm.npt_leaf, String), table: true },
        { name: 'note', text: svm.note },
      ],
      sources: svm.sources,
    },
    {
      id: `svm_g_pat/${svm.id}`,
      kind: 'decision list' as const,
      title: `The guest PAT on AMD, ${svm.kernels}`,
      sections: [
        { name: 'steps', text: listTable(svm.g_pat, String), table: true },
        { name: 'note', text: svm.note },
      ],
      sources: svm.sources,
    },
  ]);
}

function shadowPages(): readonly RulePage[] {
  const proposed = NAMED_POLICIES.map((p) => proposalRules(p).shadow);
  return [...new Set(proposed)].map((shadow) => ({
    id: `shadow_leaf/${shadow.id}`,
    kind: 'decision list',
    title: `Types of shadow PTEs, ${shadow.kernels}`,
    sections: [
      {
        name: 'steps',
        text: listTable(
          shadow.shadow_leaf,
          ({ host, guest }) => `${host}${guest ? ' x guest PAT' : ''}`,
        ),
        table: true,
      },
    ],
    sources: shadow.sources,
  }));
}

function backingPages(): readonly RulePage[] {
  return BACKINGS.map((b) => ({
    id: `backing/${b.id}`,
    kind: 'backing',
    title: b.title,
    sections: [
      {
        name: 'page',
        text: Object.entries(b.page)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      },
      { name: 'note', text: b.note },
    ],
    sources: b.sources,
  }));
}

/** The command that shows a verdict. */
export function exampleCommand(v: VerdictKind): string {
  if (Object.values(AUDIT_FINDINGS).some((f) => f.code === v.code)) {
    const facts = hasExampleFacts(v.code) ? ` --predict docs/examples/${v.code}.facts.yaml` : '';
    return `memtype audit docs/examples/${v.code}.txt${facts}`;
  }
  const isOfDoctor = Object.values(DOCTOR_FINDINGS).some((f) => f.code === v.code);
  return `memtype ${isOfDoctor ? `doctor docs/examples/${v.code}.yaml` : `explain ${v.example}`}`;
}

function kindPage(
  v: VerdictKind,
  title: string,
  host: string | null,
  what: string = 'host of the example',
): RulePage {
  return {
    id: v.code,
    kind: 'verdict',
    title,
    sections: [
      { name: 'cause', text: v.cause },
      { name: 'consequence', text: v.consequence },
      { name: 'fix', text: v.fix },
      { name: 'example', text: exampleCommand(v) },
      ...(host === null ? [] : [{ name: what, text: host }]),
    ],
    sources: v.sources,
  };
}

function verdictPages(): readonly RulePage[] {
  return [
    ...VERDICTS.map((v) => kindPage(v, `${v.title} (${v.severity})`, null)),
    ...Object.values(DOCTOR_FINDINGS).map((f) =>
      kindPage(f, `${f.title} (${f.severity}, of doctor)`, f.example),
    ),
    ...Object.values(AUDIT_FINDINGS).map((f) =>
      kindPage(f, `${f.title} (${f.severity}, of audit)`, f.example, 'trace of the example'),
    ),
  ];
}

function rulePage(r: Rule): RulePage {
  return {
    id: r.id,
    kind: 'rule',
    title: r.title,
    sections: [
      { name: 'rule', text: r.text },
      ...(r.table === undefined ? [] : [{ name: 'table', text: r.table, table: true }]),
    ],
    sources: r.sources,
  };
}

/** Every page there is, sorted by kind and id. */
export function rulePages(): readonly RulePage[] {
  return [
    ...verdictPages(),
    ...vmxPages(),
    ...mmioPages(),
    ...svmPages(),
    ...shadowPages(),
    ...backingPages(),
    ...allRules().map(rulePage),
  ];
}

/**
 * The page of a code: a verdict code, a rule id, or the short name of an era or backing ("E8", "S3",
 * "ttm-wc"); the line after a colon is dropped. Null when there is none.
 */
export function findRulePage(code: string): RulePage | null {
  const plain = code.replace(/:\d+$/, '').toLowerCase();
  const pages = rulePages();
  return (
    pages.find((p) => p.id.toLowerCase() === plain) ??
    pages.find((p) => p.id.toLowerCase().endsWith(`/${plain}`)) ??
    null
  );
}

/** The sources of a page as citations. */
export function pageCitations(page: RulePage): readonly string[] {
  return page.sources.map(cite);
}
