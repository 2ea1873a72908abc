// Asks @cloud-copilot/iam-simulate about each simulation on standard input; prints one verdict for each.
import { runSimulation } from '@cloud-copilot/iam-simulate'
import { readFileSync } from 'node:fs'

const allowAll = {
  orgIdentifier: 'root',
  policies: [{ name: 'all', policy: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] } }],
}

const verdicts = []
for (const question of JSON.parse(readFileSync(0, 'utf8'))) {
  const answer = await runSimulation(
    { serviceControlPolicies: [allowAll], resourceControlPolicies: [], identityPolicies: [], ...question },
    { simulationMode: 'Strict' },
  )
  const ignored = answer.result?.ignoredContextKeys ?? answer.results?.flatMap((each) => each.ignoredContextKeys ?? []) ?? []
  verdicts.push({ result: answer.overallResult ?? 'Error', errors: answer.errors ?? null, ignored })
}
console.log(JSON.stringify(verdicts))
