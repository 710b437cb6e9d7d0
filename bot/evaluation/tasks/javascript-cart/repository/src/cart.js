import { discountOf } from './coupons.js';

/** A shopping cart. Prices are whole cents; nothing here changes what it was given. */
export class Cart {
  #lines = new Map();
  #coupons = [];

  add(item, count = 1) {
    if (!Number.isInteger(count) || count < 1) throw new RangeError(`cannot add ${count} of ${item.sku}`);
    const line = this.#lines.get(item.sku) ?? { item, count: 0 };
    line.count = line.count + count;
    this.#lines.set(item.sku, line);
    return this;
  }

  remove(sku, count = Infinity) {
    const line = this.#lines.get(sku);
    if (!line) return this;
    line.count -= count;
    if (line.count <= 0) this.#lines.delete(sku);
    return this;
  }

  apply(coupon) {
    this.#coupons.push(coupon);
    return this;
  }

  get lines() {
    return [...this.#lines.values()].map(({ item, count }) => ({ ...item, count, cents: item.cents * count }));
  }

  get subtotal() {
    return this.lines.reduce((sum, line) => sum + line.cents, 0);
  }

  get discount() {
    return this.#coupons.reduce((sum, coupon) => sum + discountOf(coupon, this.lines), 0);
  }

  get total() {
    return this.subtotal - this.discount;
  }
}
