import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, lines } from '../src/format.js';

test('euros and cents', () => {
  assert.equal(format({ currency: 'EUR', minor: 1999 }), '€19.99');
});

test('yen have no cents', () => {
  assert.equal(format({ currency: 'JPY', minor: 500 }), '¥500');
});

test('a basket', () => {
  assert.deepEqual(lines([{ name: 'Tea', price: { currency: 'USD', minor: 250 } }]), ['Tea: $2.50']);
});
