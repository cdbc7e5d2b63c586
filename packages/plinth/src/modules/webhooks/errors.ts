import type { ErrorCatalogue } from '#kernel/errors.ts';
import { raiser } from '#kernel/errors.ts';

export const errors = {
  name_invalid: { status: 400, title: 'The name of a subscription has 1 to 200 characters', wayOut: 'Give another name.' },
  url_invalid: {
    status: 400,
    title: 'The URL of a subscription is not an absolute http or https URL',
    wayOut: 'Give a URL such as https://example.com/hooks, without user name, at most 2,000 characters.',
  },
  mode_invalid: {
    status: 400,
    title: 'The mode of a subscription is push with a URL, or pull without one',
    wayOut: 'Give push and a URL, or pull and none.',
  },
  format_invalid: {
    status: 400,
    title: 'The format of a subscription is not one that it can have',
    wayOut: 'Give standard, cloudevents-structured or, where it is sent to a URL, cloudevents-binary.',
  },
  not_pulled: {
    status: 409,
    title: 'The subscription is sent to, not read',
    wayOut: 'Read a subscription of mode pull, or change the mode of this one.',
  },
  offset_gone: {
    status: 410,
    title: 'Messages after the offset are not kept any more',
    wayOut: 'Begin again at offset -1, the oldest message that is kept, and replay what is missing.',
  },
  url_refused: {
    status: 422,
    title: 'The URL is not one that may be called',
    wayOut: 'Use a public https address; the operator can allow others in the egress policy.',
  },
  pattern_invalid: {
    status: 400,
    title: 'A pattern is not valid',
    wayOut: 'Write 1 to 50 patterns of dot-separated segments: a word, * for one segment, # at the end for any depth; at most 8 segments.',
  },
  overlap_invalid: { status: 400, title: 'The overlap of a rotation lasts 0 seconds to 7 days', wayOut: 'Give an overlap within these limits.' },
  subscription_not_found: { status: 404, title: 'There is no such subscription', wayOut: 'Check the id and the tenant.' },
  name_taken: { status: 409, title: 'Another subscription has this name', wayOut: 'Give another name, or change the existing subscription.' },
  endpoints_full: {
    status: 409,
    title: 'The portal makes no more endpoints for this customer',
    wayOut: 'Delete an endpoint that is not needed, or ask whoever sent you here, whose back end can make more.',
  },
  delivery_not_found: {
    status: 404,
    title: 'There is no such delivery',
    wayOut: 'Check the id and the tenant; deliveries that succeeded are found by their attempts in plinth.event_delivery_log.',
  },
  delivery_not_dead: { status: 409, title: 'The delivery is still being tried', wayOut: 'Wait until it has failed for good, then send it again.' },
  delivery_not_blocked: {
    status: 409,
    title: 'Nothing waits for the delivery',
    wayOut: 'Only a delivery that blocks its lane is skipped; plinth.event_deliveries shows those with status blocked.',
  },
  policy_invalid: { status: 400, title: 'The delivery policy is not valid', wayOut: 'Correct the value that the message names; leave out what is to stay.' },
  resume_invalid: {
    status: 400,
    title: 'A subscription is resumed by continue, skip or replay',
    wayOut: 'Give the time since which events are to be sent with replay, and only with it.',
  },
  replay_invalid: {
    status: 400,
    title: 'The replay is not valid',
    wayOut: 'Give a time since which, 1 to 1,000 ids, or only what failed; an end only after its beginning.',
  },
  replays_busy: {
    status: 409,
    title: 'Too many replays are running',
    wayOut: 'Wait for one to end, or cancel one: 5 of a subscription and 20 of a tenant run at a time.',
  },
  result_refused: {
    status: 500,
    title: 'The result of the attempt could not be written down',
    wayOut: 'The operator finds the reason in the log of the worker; the delivery can be sent again.',
  },
  replay_not_found: { status: 404, title: 'There is no such replay', wayOut: 'Check the id and the tenant; plinth.webhook_replays lists them.' },
  subscription_disabled: { status: 409, title: 'The subscription is disabled', wayOut: 'Enable it first.' },
  secret_invalid: {
    status: 400,
    title: 'A webhook secret is whsec_ and the base64 of 24 to 64 bytes',
    wayOut: 'Copy the secret as it was shown when the subscription was made or its secret rotated.',
  },
  filter_invalid: {
    status: 400,
    title: 'The filter of a subscription is not valid',
    wayOut: 'Give a jsonpath predicate over the event such as $.data.total > 100, or filters of CloudEvents: exact, prefix, suffix, all, any, not.',
  },
  transform_invalid: {
    status: 400,
    title: 'The transform of a subscription is not valid',
    wayOut: 'Give an object with some of payload, omit, redact, rename, set, data and body, as the README of the module shows.',
  },
  signing_invalid: {
    status: 400,
    title: 'There is no such way of signing',
    wayOut: 'Give v1, v1a, both, stripe, github or slack.',
  },
  source_invalid: { status: 400, title: 'The inbound source is not valid', wayOut: 'Correct what the message names.' },
  source_taken: { status: 409, title: 'Another inbound source has this name', wayOut: 'Give another name.' },
  source_not_found: {
    status: 404,
    title: 'There is no such inbound source',
    wayOut: 'Check the address that the provider calls: it ends in the id of the source.',
  },
  source_disabled: { status: 409, title: 'The inbound source is disabled', wayOut: 'Enable it; providers try again meanwhile.' },
  message_invalid: {
    status: 400,
    title: 'A message id has 1 to 200 visible characters and, where it is signed, no dot',
    wayOut: 'Use the id of the delivery.',
  },
  headers_missing: {
    status: 401,
    title: 'A header of the signature is missing or malformed',
    wayOut: 'Pass on the headers as they came, with the raw body.',
  },
  timestamp_out_of_tolerance: {
    status: 401,
    title: 'The message was signed too long ago, or in the future',
    wayOut: 'Set the clock of the receiver; do not verify stored messages again.',
  },
  signature_invalid: {
    status: 401,
    title: 'No signature matches',
    wayOut: 'Verify the raw bytes of the body, before any JSON parser, with the secret of this subscription.',
  },
  portal_link_invalid: { status: 401, title: 'The link into the portal is not valid', wayOut: 'Open the whole link, or ask whoever sent it for a new one.' },
  portal_link_expired: { status: 401, title: 'The link into the portal has expired', wayOut: 'Ask whoever sent it for a new one.' },
  portal_link_revoked: { status: 401, title: 'The link into the portal was taken back', wayOut: 'Ask whoever sent it for a new one.' },
  portal_session_missing: {
    status: 401,
    title: 'No session of the portal is open in this browser',
    wayOut: 'Open the link again; a browser holds one session at a time, the last that was opened.',
  },
  portal_confined: {
    status: 403,
    title: 'A link into the portal opens the portal only',
    wayOut: 'Use an API key for everything else.',
  },
  portal_keys_missing: {
    status: 503,
    title: 'The installation has no master key to sign links with',
    wayOut: 'Set PLINTH_MASTER_KEY (openssl rand -base64 32), the same for every process.',
  },
  test_type_invalid: {
    status: 422,
    title: 'No test event of this type can be sent',
    wayOut: 'Give a registered type whose newest version has an example; leave the type out for one of type webhooks.test.',
  },
  type_not_public: {
    status: 400,
    title: 'The portal subscribes to public event types only',
    wayOut: 'Choose names from the catalogue: GET /api/v1/webhooks/portal/event-types.',
  },
  attempt_not_found: { status: 404, title: 'There is no such attempt', wayOut: 'Check the id and the tenant; attempts are kept for 90 days.' },
  delivery_not_repeatable: {
    status: 409,
    title: 'The delivery cannot be sent again',
    wayOut: 'Test events are not kept: send a new one. An event has to be kept still, and its subscription has to get its type.',
  },
} as const satisfies ErrorCatalogue;

export const fail = raiser('webhooks', errors);
