/**
 * Runs in every test process before its file.
 *
 * A test describes its own configuration: what the developer's shell happens to export (`AGENTOS_*`, `DATABASE_URL`,
 * model keys) must not change an outcome. The variables that steer the tests themselves stay.
 */
// The project runs on Node.js 20, of which the AWS SDK says in every process that it will not always do.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] = 'true';

const KEPT = /^AGENTOS_(TEST|CHAOS|FUZZ)_/;
const FOREIGN = /^(AGENTOS_|DATABASE_URL$|OPENAI_|ANTHROPIC_|OLLAMA_|NATS_URL$|SMTP_|OTEL_)/;

for (const name of Object.keys(process.env)) {
  if (FOREIGN.test(name) && !KEPT.test(name)) delete process.env[name];
}
