import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cart } from '../src/cart.js';

const tea = { sku: 'tea', name: 'Tea', cents: 333 };
const cup = { sku: 'cup', name: 'Cup', cents: 1250 };

test('adds up lines', () => {
  assert.equal(new Cart().add(tea, 3).add(cup).subtotal, 2249);
});

test('removes some of an item, then all', () => {
  const cart = new Cart().add(tea, 3);
  assert.equal(cart.remove('tea', 2).subtotal, 333);
  assert.equal(cart.remove('tea').subtotal, 0);
});

test('a percentage ends in whole cents', () => {
  const cart = new Cart().add(tea).apply({ code: 'TEN', kind: 'percent', value: 10 });
  assert.equal(cart.total, 300);
});

test('the same code counts once', () => {
  const coupon = { code: 'FIVE', kind: 'amount', value: 500 };
  assert.equal(new Cart().add(cup).apply(coupon).apply({ ...coupon }).total, 750);
});
