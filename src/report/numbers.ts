/** 14515200 as "14,515,200". */
export function grouped(n: number): string {
  return String(n).replace(/\B(?=(?:\d{3})+$)/g, ',');
}

/** A share in percent with one decimal; never 0 of something, never 100 of less than all. */
export function percent(part: number, whole: number): string {
  if (part === 0) return '0';
  if (part === whole) return '100';
  const tenths = Math.round((part * 1000) / whole);
  if (tenths === 0) return '<0.1';
  return tenths >= 1000 ? '>99.9' : (tenths / 10).toFixed(1);
}

/** 14515200 as "14.5M": at most five characters. */
export function short(n: number): string {
  const units = [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const;
  for (const [size, unit] of units) {
    if (n < size * 0.9995) continue;
    const digits = n < size * 10 ? 2 : n < size * 100 ? 1 : 0;
    return `${(n / size).toFixed(digits)}${unit}`;
  }
  return String(n);
}
