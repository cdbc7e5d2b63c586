/**
 * Why an operator looks. The API wants it with every read of a tenant's records and writes it into the tenant's audit log. It lasts
 * as long as the tab. On a machine of one's own, where the console is reached by loopback, nobody is asked.
 */
const key = 'plinth.reason';
const isLoopback = /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(location.hostname);

export function keptReason(): string {
  try {
    return sessionStorage.getItem(key) ?? (isLoopback ? 'Local development' : '');
  } catch {
    return isLoopback ? 'Local development' : '';
  }
}

export function keepReason(reason: string): void {
  try {
    sessionStorage.setItem(key, reason);
  } catch {
    // Storage is closed to us: asked again after a reload.
  }
}
