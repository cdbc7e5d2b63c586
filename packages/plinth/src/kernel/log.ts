import pino from 'pino';
import { currentContext } from './context.ts';
import { withoutSecrets } from './secret-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** What the product logs with. Fields first, then one sentence. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface LogOptions {
  /** Default `info`. */
  level?: LogLevel;
  /** Where lines of JSON go. Default: standard error, so that the output of commands stays clean. */
  destination?: { write(line: string): void };
  /** Names the process in every line: `server`, `worker`. */
  part?: string;
}

/** Fields that never reach a log, at the top or one level down. */
const SECRET_FIELDS = ['authorization', 'cookie', 'password', 'secret', 'token', 'api_key', 'apiKey', 'idempotency_key', 'body', 'set-cookie'];
const REDACTED = SECRET_FIELDS.flatMap((field) => (field.includes('-') ? [`["${field}"]`, `*["${field}"]`] : [field, `*.${field}`]));

/** An error as it is logged: its chain of messages and stack, without keys, tokens and passwords that drivers put into texts. */
function errorFields(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error;
  const { code } = error as { code?: unknown };
  return {
    type: error.name,
    message: withoutSecrets(error.message),
    ...(code === undefined ? {} : { code }),
    stack: withoutSecrets(error.stack ?? ''),
    ...(error.cause !== undefined && depth < 4 ? { cause: errorFields(error.cause, depth + 1) } : {}),
  };
}

/**
 * JSON lines with time, level and message; within a request, transaction or job also correlation_id, tenant_id and request_id, which come
 * from the surrounding context. Secrets are cut out by field name and by form.
 */
export function createLog(options: LogOptions = {}): Log {
  return pino(
    {
      level: options.level ?? 'info',
      base: options.part ? { part: options.part } : {},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      redact: { paths: REDACTED, censor: '***' },
      serializers: { error: errorFields, err: errorFields },
      mixin: () => {
        const context = currentContext();
        return context
          ? {
              correlation_id: context.correlationId,
              ...(context.tenantId ? { tenant_id: context.tenantId } : {}),
              ...(context.requestId ? { request_id: context.requestId } : {}),
            }
          : {};
      },
      hooks: {
        logMethod(args, method) {
          const last = args.at(-1);
          if (typeof last === 'string') args[args.length - 1] = withoutSecrets(last);
          method.apply(this, args);
        },
      },
    },
    options.destination ?? pino.destination({ dest: 2, sync: true }),
  );
}
