// node-postgres against a server with the readings of ../sql-clients.sh. Arguments: port, user, password.
const { Client, Pool } = require('pg')
const Cursor = require('pg-cursor')
const assert = require('node:assert')

const [port, user, password] = process.argv.slice(2)
const where = { host: '127.0.0.1', port: Number(port), user, password, database: 'penstock' }
let failed = false

async function check(what, body) {
  const client = new Client(where)
  try {
    await client.connect()
    await body(client)
    console.log(`ok      node-postgres: ${what}`)
  } catch (error) {
    failed = true
    console.log(`FAILED  node-postgres: ${what}: ${error.message}`)
  }
  await client.end().catch(() => {})
}

async function main() {
  const noon = new Date('2026-11-20T12:00:00Z')
  await check('simple', async (client) => {
    const { rows, fields } = await client.query("SELECT time, value FROM telemetry WHERE device_id = 'c1' AND metric = 't'")
    assert.deepStrictEqual(rows, [{ time: noon, value: 21.5 }])
    assert.deepStrictEqual(fields.map((field) => field.dataTypeID), [1184, 701])
  })
  await check('parameters', async (client) => {
    const sql = 'SELECT integer, time FROM telemetry WHERE device_id = $1 AND time > $2 AND integer = $3'
    const { rows } = await client.query(sql, ['c1', noon, '9007199254740993'])
    assert.deepStrictEqual(rows, [{ integer: '9007199254740993', time: new Date('2026-11-20T12:07:00.123Z') }])
  })
  await check('prepared by name, again and again', async (client) => {
    for (let again = 0; again < 5; again++) {
      const { rows } = await client.query({ name: 'mine', text: 'SELECT count(*)::int AS n FROM telemetry WHERE device_id = $1', values: ['c2'] })
      assert.deepStrictEqual(rows, [{ n: 3 }])
    }
  })
  await check('arrays', async (client) => {
    const { rows } = await client.query("SELECT array_agg(metric ORDER BY metric) AS m FROM telemetry WHERE device_id = ANY($1)", [['c1']])
    assert.deepStrictEqual(rows, [{ m: ['n', 't'] }])
  })
  await check('a cursor', async (client) => {
    const cursor = client.query(new Cursor('SELECT value FROM generate_series(1, 1000)'))
    let sum = 0
    for (;;) {
      const rows = await cursor.read(100)
      if (rows.length === 0) break
      for (const row of rows) sum += Number(row.value)
    }
    assert.strictEqual(sum, 500500)
    await cursor.close()
  })
  await check('transactions and errors', async (client) => {
    await client.query('BEGIN READ ONLY')
    await assert.rejects(client.query('SELECT * FROM nothing'), (error) => error.code === '42P01')
    await client.query('ROLLBACK')
    await assert.rejects(client.query('DELETE FROM telemetry'), /only SELECT/)
    assert.strictEqual((await client.query('SELECT 1 AS one')).rowCount, 1)
  })
  const pool = new Pool({ ...where, max: 4 })
  const counts = await Promise.all(Array.from({ length: 20 }, (_, n) => pool.query('SELECT $1::int AS n', [n])))
  assert.deepStrictEqual(counts.map((answer) => answer.rows[0].n), [...Array(20).keys()])
  await pool.end()
  console.log('ok      node-postgres: pool')
  process.exitCode = failed ? 1 : 0
}

main().catch((error) => {
  console.log(`FAILED  node-postgres: ${error.stack}`)
  process.exitCode = 1
})
