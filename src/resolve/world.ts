import { must } from '../base/assert.ts';
import type { Choice } from '../base/choice.ts';
import { InputError } from '../base/diagnostic.ts';
import { u64FromNumber } from '../base/u64.ts';
import type { DeviceAccess, FactValues } from '../facts/facts.ts';
import { type Answer, Inquiry, type OpenSets } from '../facts/inquiry.ts';
import { layoutState, type MtrrLayout } from '../facts/layout.ts';
import { compileGuestMtrrs, GUEST_MTRR_RULES } from '../kvm/guest-mtrr.ts';
import type { KvmRules } from '../kvm/rules.ts';
import { compileMtrrs, mtrrLookup } from '../x86/mtrr.ts';
import { hasSelfSnoopErratum } from '../x86/self-snoop.ts';
import type { MtrrType, Vendor } from '../x86/types.ts';
import { type Access, checksCaches, isAliased, uncachedSide } from './alias.ts';
import { blobMapInfo, saysMapInfo } from './blob.ts';
import { type Effective, effective } from './effective.ts';
import { guestMtrrSeenByGuest, guestMtrrType } from './firmware.ts';
import { type GuestGrant, guestType, saysRequest } from './guest.ts';
import { Page } from './page.ts';
import type { Question } from './question.ts';
import type { GuestSide } from './scene.ts';
import { type Step, Steps } from './step.ts';
import type { Situation, Verdict } from './verdict.ts';
import { judge } from './verdicts/index.ts';
import { vmmOf, vmmRefuses } from './vmm.ts';

/** The guest kernel refuses the mapping, so that no access exists. */
export class MappingRefused extends InputError {
  override name = 'MappingRefused';
}

/** One consistent set of facts, resolved. */
export interface World {
  readonly answers: readonly Answer[];
  readonly rules: KvmRules;
  readonly paging: FactValues['paging'];
  readonly isMmio: boolean;
  readonly result: Effective;
  readonly steps: readonly Step[];
  readonly verdicts: readonly Verdict[];
  /** The result rests on something that the architecture or the kernel leaves undefined. */
  readonly undefinedInput: boolean;
}

/** Resolves the world that `choice` picks out of what is possible. */
export function resolveWorld(question: Question, open: OpenSets, choice: Choice): World {
  const inquiry = new Inquiry(question.facts, open, choice);
  const steps = new Steps();
  const page = new Page(inquiry, steps, question.hostLayout);
  const paging = inquiry.ask('paging');
  const vendor = vendorFor(inquiry, paging);
  const rules = must(question.rules.get(inquiry.ask('policy')), 'policy');
  const mtrrs = guestMtrrs(inquiry, rules, question.layout, steps);
  let grant: GuestGrant | null = null;
  const guest: GuestSide = {
    mtrr: mtrrs.type,
    type: () => {
      grant ??= guestType(inquiry, page, mtrrs.manualType, steps);
      if (grant.type === null) throw refusedByGuest(grant);
      return grant.type;
    },
  };
  if (inquiry.isGiven('guest') || saysRequest(inquiry)) guest.type();
  const result = effective(
    { inquiry, rules, page, guest, steps, quirkOffered: question.quirkOffered },
    paging,
    vendor,
  );
  const isMmio = page.isMmio(rules);
  const situation: Situation = {
    inquiry,
    rules,
    subject: question.subject(rules),
    vendor,
    paging,
    result,
    isMmio,
    backing: page.knownBacking(),
    hostMemtype: page.fact('host-memtype'),
    vmmMapping: page.fact('vmm-mapping'),
    hostMtrr: () => page.fact('host-mtrr'),
    guest: grant,
    device: deviceFor(inquiry, page),
    selfSnoop: selfSnoopFor(inquiry, vendor, question, aliasMatters(page, result, paging)),
    selfSnoopKnown: selfSnoopKnown(inquiry, vendor, question),
    quirkOffered: question.quirkOffered,
    vmm: vmmOf(inquiry),
    mapInfo: saysMapInfo(inquiry) ? blobMapInfo(inquiry, page) : null,
    vmmRefuses: vmmRefuses({ inquiry, rules, quirkOffered: question.quirkOffered }, paging),
    guestMtrrs: mtrrs.compared(),
    hostLayout: question.hostLayout,
  };
  const verdicts = judge(situation);
  const undefinedInput = situation.guestMtrrs?.kvm.type === null;
  return {
    answers: inquiry.answers,
    rules,
    paging,
    isMmio,
    result,
    steps: steps.all,
    verdicts,
    undefinedInput,
  };
}

/** There is no access to speak of: the guest kernel does not make the mapping. */
function refusedByGuest({ requested }: GuestGrant): MappingRefused {
  return new MappingRefused([
    {
      severity: 'error',
      message: `the guest kernel refuses the mapping: ${requested} was asked, and an earlier reservation may not stand in for it (-EBUSY)`,
      help: 'drop the earlier mapping first, or ask for its type (is_new_memtype_allowed)',
    },
  ]);
}

function vendorFor(inquiry: Inquiry, paging: FactValues['paging']): Vendor {
  if (paging === 'ept') return inquiry.imply('cpu', 'intel', 'EPT is Intel');
  if (paging === 'npt') return inquiry.imply('cpu', 'amd', 'nested paging is AMD');
  return inquiry.ask('cpu');
}

/**
 * How a device reaches the page. Unsaid, it matters only where the host driver itself made the page
 * non-cacheable, or its GPU may not snoop: then somebody reads it past the caches, perhaps.
 */
function deviceFor(inquiry: Inquiry, page: Page): DeviceAccess | null {
  if (inquiry.isGiven('device')) return inquiry.ask('device');
  const hostWb = page.fact('host-memtype') === 'WB' && page.fact('vmm-mapping') === 'WB';
  const known = page.knownBacking()?.page;
  const suspect = !hostWb || known?.unsnooped === true;
  return suspect && known?.device !== true ? inquiry.ask('device') : null;
}

/** An access past the caches that need not look into them: then it matters whether the CPU self-snoops. */
function aliasMatters(page: Page, result: Effective, paging: FactValues['paging']): boolean {
  if (page.knownBacking()?.page.device === true || paging === 'npt') return false;
  return isAliased(result, page.fact('vmm-mapping')) && !checksCaches(pastCaches(page, result));
}

/** Whoever of guest and VMM goes past the caches, on Intel. */
function pastCaches(page: Page, result: Effective): Access {
  return uncachedSide(result, page.fact('vmm-mapping'), page.fact('host-mtrr'), 'intel');
}

function selfSnoopFor(
  inquiry: Inquiry,
  vendor: Vendor,
  { cpuModel }: Question,
  matters: boolean,
): boolean | null {
  if (vendor === 'amd') return false;
  const asked = inquiry.answers.some((a) => a.key === 'self-snoop');
  if (asked || matters || inquiry.isGiven('self-snoop')) return inquiry.ask('self-snoop');
  return cpuModel !== null && hasSelfSnoopErratum(cpuModel.family, cpuModel.model) ? false : null;
}

function selfSnoopKnown(
  inquiry: Inquiry,
  vendor: Vendor,
  { facts, cpuModel }: Question,
): boolean | null {
  if (vendor === 'amd') return false;
  const [said, other] = facts['self-snoop'] ?? [];
  if (said !== undefined && other === undefined) return said;
  const answer = inquiry.answers.find((a) => a.key === 'self-snoop');
  if (answer !== undefined && answer.origin !== 'supposed') return answer.value === true;
  return cpuModel !== null && hasSelfSnoopErratum(cpuModel.family, cpuModel.model) ? false : null;
}

interface GuestMtrrs {
  /** As these KVM rules evaluate them. */
  readonly type: () => MtrrType;
  /** As the manual (and so the guest kernel) has them. */
  readonly manualType: () => MtrrType;
  readonly compared: () => Situation['guestMtrrs'];
}

function guestMtrrs(
  inquiry: Inquiry,
  rules: KvmRules,
  layout: MtrrLayout | null,
  steps: Steps,
): GuestMtrrs {
  if (layout === null) {
    const type = (): MtrrType => guestMtrrType(inquiry, rules, steps);
    const manualType = (): MtrrType => guestMtrrSeenByGuest(inquiry, steps, type);
    return { type, manualType, compared: () => null };
  }
  const state = layoutState(layout);
  const manual = mtrrLookup(compileMtrrs(state), u64FromNumber(layout.address));
  const manualType = (): MtrrType => (manual.kind === 'type' ? manual.type : 'UC');
  const { guestMtrr } = rules;
  if (guestMtrr === null) return { type: manualType, manualType, compared: () => null };
  const kvm = compileGuestMtrrs(guestMtrr, {
    ...state,
    maxphyaddr: layout.physBits,
    cpuidMtrr: true,
  });
  const answer = kvm.lookup(Math.floor(layout.address / 4096));
  let asked = false;
  const type = (): MtrrType => {
    if (!asked) {
      asked = true;
      const { id, sources } = GUEST_MTRR_RULES[guestMtrr];
      const inputs = {
        gpa: `0x${layout.address.toString(16)}`,
        ranges: answer.items.join(', ') || 'none',
      };
      steps.add('kvm', id, inputs, `guest MTRR ${answer.type ?? 'undefined'}`, sources[0]);
    }
    return answer.type ?? inquiry.ask('guest-mtrr');
  };
  return { type, manualType, compared: () => (asked ? { kvm: answer, manual } : null) };
}
