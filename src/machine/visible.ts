import { accessedView, accessTypes, type Plan, viewOf } from './plan.ts';
import { type AccessType, TYPE_BEHAVIOUR } from './types.ts';

/** Whether a transaction of this type checks the caches of the core itself, or of the others. */
export function checks(plan: Plan, type: AccessType, whose: 'own' | 'others'): boolean {
  const word = TYPE_BEHAVIOUR.at(type, whose);
  if (word === 'self-snoop') return plan.switches.selfSnoop;
  return word === 'bus-snoop' ? plan.switches.busSnoop : true;
}

/**
 * Whether some agent can tell that a line has caches. It cannot when every access checks every cache and every device
 * snoops: all copies then equal what memory would be if each line left its cache at once, which evictions allow.
 * INVD breaks that, and so does memory that somebody writes from outside (docs/machine.md).
 */
export function isVisible(plan: Plan, line: number): boolean {
  if (plan.config.caches !== 'visible') return true;
  const coherent = (type: AccessType): boolean =>
    checks(plan, type, 'own') && checks(plan, type, 'others');
  const byCores = plan.cores.some(({ core, program }) =>
    program.some((i) => {
      const name = accessedView(i);
      const view = name === null ? null : viewOf(plan, core, name);
      return view?.line === line && !accessTypes(view).every(coherent);
    }),
  );
  const byDevices = plan.devices.some(
    ({ snoop, program }) =>
      !snoop && program.some((i) => 'line' in i && i.line === plan.lines[line]?.name),
  );
  const loses = plan.cores.some(({ program }) => program.some((i) => i.op === 'invd'));
  return byCores || byDevices || loses;
}
