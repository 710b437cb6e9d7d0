import { readFileSync } from 'node:fs';

const currencies = JSON.parse(readFileSync(new URL('../../../shared/currencies.json', import.meta.url), 'utf8'));

/** { currency: 'EUR', minor: 1999 } as '€19.99'. */
export function format({ currency, minor }) {
  const known = currencies[currency];
  if (!known) throw new RangeError(`unknown currency: ${currency}`);
  const major = (minor / 100).toFixed(2);
  return `${known.symbol}${major}`;
}

/** A basket as lines of text. */
export function lines(basket) {
  return basket.map(({ name, price }) => `${name}: ${format(price)}`);
}
