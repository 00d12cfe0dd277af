import type { VmxEra } from '../decision.ts';
import { E0 } from './e00.ts';
import { E1 } from './e01.ts';
import { E2 } from './e02.ts';
import { E3 } from './e03.ts';
import { E4 } from './e04.ts';
import { E5 } from './e05.ts';
import { E6 } from './e06.ts';
import { E7 } from './e07.ts';
import { E8 } from './e08.ts';
import { E9 } from './e09.ts';
import { E10 } from './e10.ts';
import { E11 } from './e11.ts';

/** vmx_get_mt_mask() over time, oldest first. */
export const ERAS: readonly VmxEra[] = [E0, E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11];

export { E0, E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11 };
