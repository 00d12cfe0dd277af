import { KIND } from '../batch.ts';
import {
  CHANGED,
  EXIT,
  MMIO_FAULT,
  MMIO_MARKED,
  OTHER,
  PAGE_FAULT,
  REQUESTED,
  register,
  SET,
  ZAP_PAGE,
} from './events.ts';
import { HELPERS, standsAt } from './helpers.ts';
import {
  BATCH_EVENTS,
  COLUMN_AT,
  COLUMNS,
  CONTEXT_LENGTH,
  type ColumnName,
  MASKS,
} from './layout.ts';
import { all, any, bits32, get, is, must, plus, unless, when } from './words.ts';

// The fast reader, in WebAssembly's text format.

/** The context of the line: the same columns as before, or others that were seen. */
const CONTEXT = `
  (local.set $c (global.get $context))
  (if (i32.eqz ${standsAt('c', 'at')}) (then
    (local.set $f (call $contextSlot ${get('at')}
      (i32.load offset=${CONTEXT_LENGTH} (global.get $context))))
    ${unless(`(call $isContext ${get('f')} ${get('at')})`)}
    (global.set $context ${get('f')})))
  (local.set $p (i32.add ${get('at')} (i32.load offset=${CONTEXT_LENGTH} (global.get $context))))`;

/**
 * Flags and time: " ...1.    12.004166: ". The last word before the colon is the time, sixteen characters at
 * most; before it nothing has a colon or a bracket.
 */
const TIME = `
  (local.set $f ${bits32(get('p'), ':')})
  (br_if $unknown (i32.eqz ${get('f')}))
  (local.set $c (i32.ctz ${get('f')}))
  (local.set $below (i32.sub (i32.shl (i32.const 1) ${get('c')}) (i32.const 1)))
  (br_if $unknown (i32.and ${get('below')}
    (i32.or ${bits32(get('p'), '[')} ${bits32(get('p'), '\n')})))
  ${must(get('p'), ' ')}
  (local.set $n (i32.sub ${get('c')} (i32.sub (i32.const 32)
    (i32.clz (i32.and ${bits32(get('p'), ' ')} ${get('below')})))))
  (local.set $q (i32.add ${get('p')} ${get('c')}))
  ${must(get('q'), ': ')}
  ${unless(`(i32.lt_u (i32.sub ${get('n')} (i32.const 1)) (i32.const 16))`)}
  (local.set $digits (i8x16.sub (v128.load (i32.sub ${get('q')} (i32.const 16))) ${all('0')}))
  ;; Which of the word's characters are no digits.
  (local.set $f (i32.and
    (i32.xor (i8x16.bitmask (i8x16.le_u ${get('digits')} ${all(9)})) (i32.const 65535))
    (i32.shl (i32.const 65535) (i32.sub (i32.const 16) ${get('n')}))))
  (local.set $f (i32.and ${get('f')} (i32.const 65535)))
  (local.set $digits (v128.and ${get('digits')} (v128.load (i32.add ${get('n')} (i32.const ${MASKS})))))
  (if ${get('f')}
    (then
      ;; One of them: the point, before six digits and after one at least.
      ${unless(
        any(
          `(i32.eq ${get('f')} (i32.const 512))`,
          is(`(i32.sub ${get('q')} (i32.const 7))`, '.'),
          `(i32.gt_u ${get('n')} (i32.const 7))`,
        ),
      )}
      (local.set $total (call $decimal (i8x16.swizzle ${get('digits')}
        (v128.const 16 0 1 2 3 4 5 6 7 8 10 11 12 13 14 15))))
      (local.set $time (f64.div (f64.convert_i64_u ${get('total')}) (f64.const 1000000))))
    (else
      (br_if $unknown (i32.gt_u ${get('n')} (i32.const 15)))
      (local.set $time (f64.convert_i64_u (call $decimal ${get('digits')})))))
  (local.set $q (call $afterBlanks ${plus('q', 2)}))
  ;; perf has the system before the name.
  ${when(is(get('q'), 'kvmmmu:'), `(local.set $q ${plus('q', 7)})`)}`;

/** Stores into a column. */
function store(column: ColumnName, type: string, shift: number, value: string): string {
  const index = '(global.get $count)';
  const at = shift === 0 ? index : `(i32.shl ${index} (i32.const ${shift}))`;
  return `(${type} offset=${COLUMNS + COLUMN_AT[column]} ${at} ${value})`;
}

function high(name: string): string {
  return `(i32.wrap_i64 (i64.shr_u ${get(name)} (i64.const 32)))`;
}

function ofContext(index: number): string {
  return `(i32.load offset=${CONTEXT_LENGTH + 4 * index} (global.get $context))`;
}

const ROW = `
  ${store('time', 'f64.store', 3, get('time'))}
  ${store('place', 'f64.store', 3, '(f64.convert_i64_u (global.get $line))')}
  ${store('key', 'f64.store', 3, `(f64.convert_i64_s ${get('key')})`)}
  ${store('tid', 'i32.store', 2, ofContext(1))}
  ${store('tgid', 'i32.store', 2, ofContext(2))}
  ${store('valueHi', 'i32.store', 2, high('value'))}
  ${store('valueLo', 'i32.store', 2, `(i32.wrap_i64 ${get('value')})`)}
  ${store('beforeHi', 'i32.store', 2, high('before'))}
  ${store('beforeLo', 'i32.store', 2, `(i32.wrap_i64 ${get('before')})`)}
  ${store('cpu', 'i32.store16', 1, ofContext(3))}
  ${store('kind', 'i32.store8', 0, get('kind'))}
  ${store('level', 'i32.store8', 0, get('level'))}
  ${store('flags', 'i32.store8', 0, get('flags'))}
  (global.set $count (i32.add (global.get $count) (i32.const 1)))`;

/**
 * `run(at, end)`: reads whole lines, the last one ending before `end`, until one is not of a shape that kernels
 * print, or the columns are full; returns where it stopped. Every byte of a line is compared with what must be
 * there, or is part of a number; so no line end can be passed over.
 */
export const PROGRAM = `
(global $line i64)
(global $count i32)
(global $context i32)
${HELPERS}
(func $run (param $at i32) (param $end i32) (result i32)
  (local $p i32) (local $q i32) (local $e i32) (local $f i32) (local $c i32) (local $n i32)
  (local $eol i32) (local $below i32)
  (local $mask i64) (local $total i64) (local $time f64) (local $digits v128)
  (local $kind i32) (local $level i32) (local $flags i32)
  (local $digit v128) (local $letter v128) (local $isDigit v128) (local $read i64)
  (local $key i64) (local $value i64) (local $before i64)
  (block $unknown
    (loop $lines
      (br_if $unknown (i32.ge_u ${get('at')} ${get('end')}))
      (br_if $unknown (i32.eq (global.get $count) (i32.const ${BATCH_EVENTS})))
      ${CONTEXT}
      ${TIME}
      (local.set $level (i32.const 0))
      (local.set $flags (i32.const 0))
      (local.set $value (i64.const 0))
      (local.set $before (i64.const 0))
      (block $next
        (block $row
          ${when(
            is(get('q'), 'kvm_mmu_'),
            when(any(is(plus('q', 8), 'set_spte'), is(plus('q', 16), ': ')), SET),
            when(
              any(
                is(plus('q', 8), 'prepare_'),
                is(plus('q', 16), 'zap_page'),
                is(plus('q', 24), ': '),
              ),
              ZAP_PAGE,
            ),
            when(any(is(plus('q', 8), 'spte_req'), is(plus('q', 16), 'uested: ')), REQUESTED),
          )}
          ${when(
            any(
              is(get('q'), 'kvm_tdp_'),
              is(plus('q', 8), 'mmu_spte'),
              is(plus('q', 16), '_changed'),
              is(plus('q', 24), ': '),
            ),
            CHANGED,
          )}
          ${when(any(is(get('q'), 'kvm_page'), is(plus('q', 8), '_fault: ')), PAGE_FAULT)}
          ${when(any(is(get('q'), 'mark_mmi'), is(plus('q', 8), 'o_spte: ')), MMIO_MARKED)}
          ${when(
            any(
              is(get('q'), 'handle_m'),
              is(plus('q', 8), 'mio_page'),
              is(plus('q', 16), '_fault: '),
            ),
            MMIO_FAULT,
          )}
          ${when(any(is(get('q'), 'kvm_exit'), is(plus('q', 8), ': ')), EXIT)}
          ${when(is(get('q'), 'kvm_msr:'), register(KIND.msr, 'msr'))}
          ${when(is(get('q'), 'kvm_cr: '), register(KIND.cr, 'cr'))}
          ${OTHER})
        ${ROW})
      (global.set $line (i64.add (global.get $line) (i64.const 1)))
      (local.set $at ${plus('eol', 1)})
      (br $lines)))
  ${get('at')})
`;
