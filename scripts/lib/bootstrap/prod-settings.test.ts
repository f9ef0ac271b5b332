import { describe, expect, it } from 'vitest';
import { renderEnvFile } from '../env-file.ts';
import { prodSettings } from './prod-settings.ts';

const VALUES = { AGENTOS_MODE: 'prod', AGENTOS_TRUSTED_PROXY: 'loopback' };

describe('a file of settings made one for prod', () => {
  it('keeps what a person wrote, says each setting once, and turns what prod refuses into remarks', () => {
    const text = 'AGENTOS_MODE=demo\nAGENTOS_DEFAULT_TENANT=tnt_demo\n# a remark\nAGENTOS_LOG_LEVEL=debug\nexport AGENTOS_TLS_CERT_FILE=/old.crt\nAGENTOS_MODE=dev\n';
    expect(prodSettings(text, VALUES)).toBe('AGENTOS_MODE=prod\n# AGENTOS_DEFAULT_TENANT=tnt_demo\n# a remark\nAGENTOS_LOG_LEVEL=debug\n# export AGENTOS_TLS_CERT_FILE=/old.crt\n# AGENTOS_MODE=dev\n\n# Set by "agentos bootstrap".\nAGENTOS_TRUSTED_PROXY=loopback\n');
  });

  it('is the same when it is made again', () => {
    for (const mode of ['demo', 'dev', 'prod'] as const) {
      const once = prodSettings(renderEnvFile({ mode }), VALUES);
      expect(once).toContain('\nAGENTOS_MODE=prod\n');
      expect(once).not.toMatch(/^AGENTOS_DEFAULT_TENANT/m);
      expect(prodSettings(once, VALUES)).toBe(once);
    }
  });
});
