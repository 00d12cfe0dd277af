/** Fill per type: told apart without colour by the letters. */
export const COLOURS: Readonly<Record<string, string>> = {
  WB: '#cfe3f7',
  WT: '#d9ead3',
  WP: '#d9ead3',
  WC: '#fff2cc',
  'WC+': '#fff2cc',
  UC: '#f4cccc',
  'UC-': '#f4cccc',
  CD: '#f4cccc',
};

/** Text as it may stand in XML and HTML, also in an attribute. */
export function escaped(text: string): string {
  return text
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/"/g, '&quot;');
}
