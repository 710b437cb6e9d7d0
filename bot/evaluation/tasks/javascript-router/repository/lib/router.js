'use strict';

const { compile, match } = require('./pattern.js');

class Router {
  constructor() {
    this.routes = [];
  }

  on(method, pattern, handler) {
    this.routes.push({ method: method.toUpperCase(), pattern, compiled: compile(pattern), handler });
    return this;
  }

  get(pattern, handler) {
    return this.on('GET', pattern, handler);
  }

  post(pattern, handler) {
    return this.on('POST', pattern, handler);
  }

  /** The first route that fits: { handler, params }, or { status: 404 | 405, allow? }. */
  find(method, url) {
    const path = url.split('?')[0];
    for (const route of this.routes) {
      const params = match(route.compiled, path);
      if (params && route.method === method.toUpperCase()) return { handler: route.handler, params };
    }
    return { status: 404 };
  }
}

module.exports = { Router };
