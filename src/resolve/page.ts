import { must } from '../base/assert.ts';
import { u64FromNumber } from '../base/u64.ts';
import { type FactValues, factWord } from '../facts/facts.ts';
import type { Inquiry } from '../facts/inquiry.ts';
import { layoutState, type MtrrLayout } from '../facts/layout.ts';
import { decide } from '../kvm/decision.ts';
import type { PfnInputs } from '../kvm/mmio.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { type BackingClass, backingClass } from '../linux/backing.ts';
import { compileMtrrs, mtrrLookup } from '../x86/mtrr.ts';
import type { MtrrType, PatType } from '../x86/types.ts';
import type { Steps } from './step.ts';

/** The facts of a page that its class of backing settles. */
type PageKey =
  | 'pfn-valid'
  | 'page-reserved'
  | 'zero-page'
  | 'host-memtype'
  | 'vmm-mapping'
  | 'host-mtrr'
  | 'e820-ram';

function classValue(backing: BackingClass, key: PageKey): FactValues[PageKey] {
  const { page } = backing;
  switch (key) {
    case 'pfn-valid':
      return page.pfnValid;
    case 'page-reserved':
      return page.reserved;
    case 'zero-page':
      return page.zeroPage;
    case 'host-memtype':
      return page.memtype;
    case 'vmm-mapping':
      return page.vmm;
    case 'host-mtrr':
      return page.hostMtrr;
    case 'e820-ram':
      return page.e820Ram;
  }
}

/** The host's page behind the guest address, in one world. */
export class Page {
  readonly #inquiry: Inquiry;
  readonly #steps: Steps;
  readonly #hostLayout: MtrrLayout | null;
  #mmio: boolean | null = null;
  #backing: BackingClass | null = null;

  /** @param hostLayout the host's MTRRs, where they were given */
  constructor(inquiry: Inquiry, steps: Steps, hostLayout: MtrrLayout | null) {
    this.#inquiry = inquiry;
    this.#steps = steps;
    this.#hostLayout = hostLayout;
  }

  /** Its class; asks for it, so only where a rule needs it. */
  backing(): BackingClass {
    if (this.#backing !== null) return this.#backing;
    const name = this.#inquiry.ask('backing');
    const backing = must(backingClass(name), `no backing class ${name}`);
    const inForce = (key: PageKey): string =>
      this.#isSaid(key) ? factWord(this.fact(key)) : factWord(classValue(backing, key));
    this.#steps.add(
      'host',
      `backing/${backing.id}`,
      {},
      `tracked ${inForce('host-memtype')}, VMM maps ${inForce('vmm-mapping')}, host MTRR ${inForce('host-mtrr')}`,
      backing.sources[0],
      backing.note,
    );
    this.#backing = backing;
    return backing;
  }

  /** Its class when that is known without a guess. */
  knownBacking(): BackingClass | null {
    const answer = this.#inquiry.answers.find((a) => a.key === 'backing');
    if (answer === undefined && !this.#inquiry.isGiven('backing')) return null;
    return this.backing();
  }

  /** A fact of the page: as given, else as its class has it. */
  fact<K extends PageKey>(key: K): FactValues[K] {
    if (this.#inquiry.isGiven(key)) return this.#inquiry.ask(key);
    if (key === 'host-mtrr' && this.#hostLayout !== null) {
      return this.#byHostMtrrs(this.#hostLayout) as FactValues[K];
    }
    const backing = this.backing();
    return this.#inquiry.imply(
      key,
      classValue(backing, key) as FactValues[K],
      `as is usual for ${backing.title}`,
    );
  }

  #isSaid(key: PageKey): boolean {
    return this.#inquiry.isGiven(key) || (key === 'host-mtrr' && this.#hostLayout !== null);
  }

  /** Undefined overlaps leave every type that is possible there. */
  #byHostMtrrs(layout: MtrrLayout): MtrrType {
    const known = this.#inquiry.answers.find((a) => a.key === 'host-mtrr');
    if (known !== undefined) return known.value as MtrrType;
    const answer = mtrrLookup(compileMtrrs(layoutState(layout)), u64FromNumber(layout.address));
    const why = 'the host MTRRs as given';
    const types = answer.kind === 'type' ? [answer.type] : answer.among;
    const type = this.#inquiry.among('host-mtrr', types, why);
    const by = answer.kind === 'type' ? `by ${answer.by}` : 'an overlap that is undefined';
    const inputs = { hpa: `0x${layout.address.toString(16)}` };
    this.#steps.add('host', 'x86/mtrr', inputs, `host MTRR ${type}, ${by}`, 'sdm/mtrr-precedence');
    return type;
  }

  /** PageReserved() of the compound head; of the page itself when it is not a tail. */
  #headReserved(own: () => boolean): boolean {
    const compound = this.#inquiry.ask('compound');
    return compound === 'no' ? own() : compound === 'tail-of-reserved';
  }

  /** kvm_is_mmio_pfn() of these rules, asked once. */
  isMmio(rules: KvmRules): boolean {
    if (this.#mmio !== null) return this.#mmio;
    const seen: Record<string, string> = {};
    const note = <T extends FactValues[PageKey | 'compound']>(name: string, value: T): T => {
      seen[name] = factWord(value);
      return value;
    };
    const reserved = (): boolean => note('PageReserved', this.fact('page-reserved'));
    const inputs: PfnInputs = {
      pfn_valid: () => note('pfn_valid', this.fact('pfn-valid')),
      is_zero_pfn: () => note('zero page', this.fact('zero-page')),
      page_tail: () => note('compound', this.#inquiry.ask('compound')) !== 'no',
      head_reserved: () => this.#headReserved(reserved),
      page_reserved: reserved,
      pat_enabled: () => this.#inquiry.ask('host-pat'),
      host_memtype: (): PatType => note('host memtype', this.fact('host-memtype')),
      e820_ram: () => note('e820 RAM', this.fact('e820-ram')),
      host_mtrr_not_wb: () => note('host MTRR', this.fact('host-mtrr')) !== 'WB',
    };
    const { line, decision } = decide(rules.mmio.kvm_is_mmio_pfn, inputs);
    this.#mmio = decision.returns;
    this.#steps.add(
      'kvm',
      `kvm_is_mmio_pfn/${rules.mmio.id}:${line}`,
      seen,
      decision.returns ? 'host MMIO' : 'not MMIO',
      decision.source ?? rules.mmio.sources[0],
      decision.why,
    );
    return this.#mmio;
  }
}
