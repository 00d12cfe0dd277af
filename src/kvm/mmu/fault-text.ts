import { GUEST_FINAL, GUEST_PAGE, PFERR } from './error-code.ts';
import type { Vm } from './vm.ts';

const NAMES = [
  [PFERR.PRESENT, 'P'],
  [PFERR.WRITE, 'W'],
  [PFERR.USER, 'U'],
  [PFERR.RSVD, 'RSVD'],
  [PFERR.FETCH, 'F'],
] as const;

/** An error code as fast_page_fault prints it: "P|W|0x100000000". Source: kvm/mmutrace.h. */
export function errorCodeText(vm: Vm, code: number): string {
  const { paging, behaviour } = vm.config;
  const hidesUser = paging === 'ept' && !behaviour.eptReadIsUser;
  const low = hidesUser ? code & ~PFERR.USER : code;
  const names: string[] = NAMES.filter(([bit]) => (low & bit) !== 0).map(([, name]) => name);
  const high = code >= GUEST_PAGE ? GUEST_PAGE : code >= GUEST_FINAL ? GUEST_FINAL : 0;
  if (high > 0 && behaviour.wideErrorCode) names.push(`0x${high.toString(16)}`);
  return names.join('|');
}
