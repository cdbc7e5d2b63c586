/** What one payload of GitHub is about: the row that it changes. */
export interface Subject {
  table: 'repositories' | 'issues' | 'pull_requests' | 'others';
  kind: 'repository' | 'issue' | 'pull_request' | 'other';
  id: string;
  title: string;
  state: string | null;
}

type Json = Record<string, unknown>;

const object = (value: unknown): Json | undefined => (typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined);
const text = (value: unknown): string | null => (typeof value === 'string' || typeof value === 'number' ? String(value) : null);

/** `github.issues.opened`; `github.push` where the payload has no action. */
export const typeOf = (event: string, payload: Json): string => ['github', event, ...(typeof payload.action === 'string' ? [payload.action] : [])].join('.');

export function subjectOf(event: string, payload: Json): Subject {
  const pull = object(payload.pull_request);
  if (pull) return { table: 'pull_requests', kind: 'pull_request', id: text(pull.id) ?? 'unknown', title: text(pull.title) ?? '', state: text(pull.state) };
  const issue = object(payload.issue);
  if (issue) return { table: 'issues', kind: 'issue', id: text(issue.id) ?? 'unknown', title: text(issue.title) ?? '', state: text(issue.state) };
  const repository = object(payload.repository);
  if (repository)
    return { table: 'repositories', kind: 'repository', id: text(repository.id) ?? 'unknown', title: text(repository.full_name) ?? '', state: null };
  const sender = object(payload.sender) ?? object(payload.organization) ?? object(payload.installation);
  return { table: 'others', kind: 'other', id: `${event}:${text(sender?.id) ?? 'unknown'}`, title: event, state: null };
}

/** One sentence for people: `octocat opened issue "Spelling error" in octo/hello`. */
export function sentenceOf(type: string, payload: Json): string {
  const [, event = '', action = 'sent'] = type.split('.');
  const who = text(object(payload.sender)?.login) ?? 'somebody';
  const where = text(object(payload.repository)?.full_name);
  const { title, kind } = subjectOf(event, payload);
  return `${who} ${action} ${kind === 'other' ? event : kind.replace('_', ' ')} ${JSON.stringify(title)}${where ? ` in ${where}` : ''}`.slice(0, 300);
}
