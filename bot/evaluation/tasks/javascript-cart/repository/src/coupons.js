/**
 * A coupon is { code, kind: 'percent' | 'amount' | 'free-item', value, sku?, minimum? }.
 * With `sku` it is for that item only; with `minimum` only for carts of at least so many cents.
 */
export function discountOf(coupon, lines) {
  const concerned = coupon.sku ? lines.filter((line) => line.sku === coupon.sku) : lines;
  const cents = concerned.reduce((sum, line) => sum + line.cents, 0);
  if (cents < (coupon.minimum ?? 0)) return 0;
  switch (coupon.kind) {
    case 'percent':
      return (cents * coupon.value) / 100;
    case 'amount':
      return coupon.value;
    case 'free-item':
      return concerned.length > 0 ? concerned[0].cents / concerned[0].count : 0;
    default:
      throw new TypeError(`unknown kind of coupon: ${coupon.kind}`);
  }
}
