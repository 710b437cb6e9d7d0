'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Router } = require('../lib/router.js');

const one = () => 'one';
const two = () => 'two';

test('finds a route by method and path', () => {
  const router = new Router().get('/about', one).post('/about', two);
  assert.equal(router.find('get', '/about').handler, one);
  assert.equal(router.find('POST', '/about?x=1').handler, two);
  assert.equal(router.find('GET', '/nowhere').status, 404);
});

test('a parameter is one segment', () => {
  const router = new Router().get('/users/:id', one).get('/users/:id/files', two);
  assert.deepEqual(router.find('GET', '/users/7').params, { id: '7' });
  assert.equal(router.find('GET', '/users/7/files').handler, two);
});

test('the rest of a path', () => {
  const router = new Router().get('/static/*', one);
  assert.deepEqual(router.find('GET', '/static/css/site.css').params, { rest: 'css/site.css' });
});
