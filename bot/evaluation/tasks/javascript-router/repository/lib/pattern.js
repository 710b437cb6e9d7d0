'use strict';

/**
 * Turns '/users/:id/files/*' into a regular expression and the names of its parameters.
 * ':name' is one segment, a '*' at the end is the rest of the path (parameter 'rest').
 */
function compile(pattern) {
  const names = [];
  const source = pattern
    .split('/')
    .map((segment) => {
      if (segment.startsWith(':')) {
        names.push(segment.slice(1));
        return '(.+)';
      }
      if (segment === '*') {
        names.push('rest');
        return '(.*)';
      }
      return segment;
    })
    .join('/');
  return { regexp: new RegExp(`^${source}$`), names };
}

function match(compiled, path) {
  const found = compiled.regexp.exec(path);
  if (!found) return null;
  const params = {};
  compiled.names.forEach((name, index) => {
    params[name] = found[index + 1];
  });
  return params;
}

module.exports = { compile, match };
