import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { getCACertificates } from 'node:tls';
import type { EgressOptions } from '#adapters/http/egress.ts';
import { inCidr, parseAddress } from '#adapters/http/egress-addresses.ts';
import { DEFAULT_PORTS, developmentPolicy, type EgressPolicy, rulesOf } from '#adapters/http/egress-target.ts';
import { flagOf, listOf, SettingFault } from './setting.ts';

/** What servers and workers may call for tenants (PLINTH_EGRESS_*), beyond or instead of the default. */
export interface EgressSettings {
  policy: EgressPolicy;
  /** PEM certificates of private authorities that count beside the public ones. */
  authorities: readonly string[];
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).serialNumber !== '';
  } catch {
    return false;
  }
}

function authoritiesOf(file: string | undefined): string[] {
  if (file === undefined) return [];
  const refuse = (what: string): never => {
    throw new SettingFault(`PLINTH_EGRESS_CA_FILE is ${JSON.stringify(file)}, ${what}: give a file of certificates in PEM.`);
  };
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return refuse(`which cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const found: string[] = text.match(PEM) ?? [];
  if (found.length === 0) return refuse('which holds no certificate');
  const broken = found.findIndex((pem) => !isCertificate(pem));
  if (broken >= 0) return refuse(`whose certificate ${broken + 1} is none`);
  return found;
}

function portsOf(text: string | undefined): readonly number[] | 'any' | undefined {
  const ports = listOf(text);
  if (ports.length === 0) return undefined;
  return ports.length === 1 && ports[0] === 'any' ? 'any' : ports.map(Number);
}

/** Refused is what the guard itself refuses, in the name of the variable that said it. */
function checked<Part extends EgressPolicy>(name: string, text: string | undefined, wayOut: string, part: Part): Part {
  try {
    rulesOf(part);
    return part;
  } catch {
    throw new SettingFault(`${name} is ${JSON.stringify(text)}: give ${wayOut}.`);
  }
}

export function egressSettingsOf(text: (name: string) => string | undefined): EgressSettings {
  const [cidrs, names, ports] = [text('PLINTH_EGRESS_ALLOW_CIDRS'), text('PLINTH_EGRESS_ALLOW_NAMES'), text('PLINTH_EGRESS_PORTS')];
  const allowPorts = portsOf(ports);
  return {
    policy: {
      ...checked('PLINTH_EGRESS_ALLOW_CIDRS', cidrs, 'ranges such as 10.20.0.0/16, with commas between', { allowCidrs: listOf(cidrs) }),
      ...checked('PLINTH_EGRESS_ALLOW_NAMES', names, 'names such as crm.internal, or .internal for all names below, with commas between', {
        allowNames: listOf(names),
      }),
      ...checked('PLINTH_EGRESS_PORTS', ports, 'ports from 1 to 65535 with commas between, or any', allowPorts ? { allowPorts } : {}),
      allowHttp: flagOf('PLINTH_EGRESS_ALLOW_HTTP', text('PLINTH_EGRESS_ALLOW_HTTP')),
    },
    authorities: authoritiesOf(text('PLINTH_EGRESS_CA_FILE')),
  };
}

/** The policy in force. A developer's machine may also be called itself, by any port: there the settings only add. */
export const policyInForce = ({ policy }: EgressSettings, development: boolean): EgressPolicy =>
  development ? { ...policy, ...developmentPolicy, allowCidrs: [...(developmentPolicy.allowCidrs ?? []), ...(policy.allowCidrs ?? [])] } : policy;

export const egressOptions = (settings: EgressSettings, development: boolean): EgressOptions => ({
  policy: policyInForce(settings, development),
  // The guard's `ca` stands instead of the public authorities.
  ...(settings.authorities.length > 0 ? { ca: [...getCACertificates('default'), ...settings.authorities] } : {}),
});

/** For the log of a start and for plinth doctor: what may be called. */
export function policyInWords(policy: EgressPolicy, authorities: number): string {
  const { allowPorts: ports = DEFAULT_PORTS, allowCidrs = [], allowNames = [] } = policy;
  return [
    `the public internet by https${policy.allowHttp ? ' and http' : ''}`,
    ports === 'any' ? 'any port' : `ports ${[...(policy.allowHttp ? [80] : []), ...ports].join(', ')}`,
    ...(allowCidrs.length > 0 ? [`also ${allowCidrs.join(', ')}`] : []),
    ...(allowNames.length > 0 ? [`inside names ${allowNames.join(', ')}`] : []),
    ...(authorities > 0 ? [`${authorities} private ${authorities === 1 ? 'authority' : 'authorities'}`] : []),
  ].join('; ');
}

/** Where clouds answer with the credentials of a machine. */
const METADATA = ['169.254.169.254', '100.100.100.200', 'fd00:ec2::254'];

/** Addresses of metadata services that the ranges let tenants call. */
export const opensMetadata = ({ allowCidrs = [] }: EgressPolicy): string[] => {
  const { allowCidrs: ranges } = rulesOf({ allowCidrs });
  return METADATA.filter((address) => {
    const bytes = parseAddress(address);
    return bytes !== undefined && ranges.some((range) => inCidr(bytes, range));
  });
};
