"""psycopg 3, psycopg2, asyncpg and SQLAlchemy against a server with the readings of ../sql-clients.sh.

Arguments: port, user, password.
"""

import asyncio
import datetime
import decimal
import sys

import asyncpg
import psycopg
import psycopg2
import psycopg2.extras
import psycopg_pool
import sqlalchemy

PORT, USER, PASSWORD = sys.argv[1:4]
WHERE = f"host=127.0.0.1 port={PORT} user={USER} password={PASSWORD} dbname=penstock connect_timeout=20"
NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.timezone.utc)
failed = 0


def check(what, body):
    global failed
    try:
        body()
        print(f"ok      {what}")
    except Exception as error:  # whatever it is, it is told
        failed += 1
        print(f"FAILED  {what}: {type(error).__name__}: {error}")


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def of_psycopg():
    def parameters(binary):
        with psycopg.connect(WHERE, autocommit=True) as connection, connection.cursor(binary=binary) as cursor:
            ask = lambda sql, *params: cursor.execute(sql, params or None).fetchall()
            for _ in range(8):
                same(ask("SELECT value FROM telemetry WHERE device_id = %s AND time = %s", "c1", NOON), [(21.5,)])
            same(ask("SELECT count(*) FROM telemetry WHERE device_id = ANY(%s) AND metric = 't'", ["c1", "x"]), [(1,)])
            same(ask("SELECT count(*) FROM telemetry WHERE device_id = 'c1' AND value < 30 AND value > %s", decimal.Decimal("21.4")), [(1,)])
            same(ask("SELECT integer FROM telemetry WHERE device_id = 'c1' AND integer = %s", 9007199254740993), [(9007199254740993,)])
            same(ask("SELECT %s::text, %s::int, %s::float8, %s::bool", "ä", 5, 0.5, True), [("ä", 5, 0.5, True)])
            same(ask("SELECT NULL::text, %s::text", None), [(None, None)])
            same(ask("SELECT date '2026-11-20', time '12:30:00', interval '90 minutes'"),
                 [(datetime.date(2026, 11, 20), datetime.time(12, 30), datetime.timedelta(minutes=90))])
            same(ask("SELECT 1.5::numeric, '{1,2}'::int[]")[0][0], decimal.Decimal("1.5"))

    check("psycopg 3: parameters, as text", lambda: parameters(False))
    check("psycopg 3: parameters, binary", lambda: parameters(True))

    def arrays():
        for binary in [False, True]:
            with psycopg.connect(WHERE) as connection, connection.cursor(binary=binary) as cursor:
                cursor.execute("SELECT array_agg(metric ORDER BY metric), array_agg(time ORDER BY time) FROM telemetry WHERE device_id = 'c1'")
                metrics, times = cursor.fetchone()
                same(metrics, ["n", "t"])
                same(times[0], NOON)

    check("psycopg 3: arrays", arrays)

    def pipeline():
        with psycopg.connect(WHERE, autocommit=True) as connection, connection.pipeline():
            found = [connection.execute("SELECT %s::int", (n,)) for n in range(50)]
            same([rows.fetchone()[0] for rows in found], list(range(50)))

    check("psycopg 3: pipeline", pipeline)

    def server_cursor():
        with psycopg.connect(WHERE) as connection:
            with connection.cursor(name="c") as cursor:
                cursor.execute("SELECT value FROM generate_series(1, 1000)")
                same(sum(row[0] for row in cursor), 500500)

    check("psycopg 3: server-side cursor (DECLARE, FETCH)", server_cursor)

    def copy():
        with psycopg.connect(WHERE) as connection, connection.cursor() as cursor:
            with cursor.copy("COPY (SELECT device_id, metric, value FROM telemetry WHERE metric = 't' AND device_id = 'c1') TO STDOUT") as out:
                same(b"".join(out).decode(), "c1\tt\t21.5\n")

    check("psycopg 3: COPY (SELECT …) TO STDOUT", copy)

    def pool():
        with psycopg_pool.ConnectionPool(WHERE, min_size=2, max_size=4) as pool:
            for _ in range(10):
                with pool.connection() as connection:
                    same(connection.execute("SELECT 1").fetchone(), (1,))

    check("psycopg 3: pool", pool)

    def types():
        with psycopg.connect(WHERE) as connection:
            from psycopg.types import TypeInfo
            assert TypeInfo.fetch(connection, "timestamptz").oid == 1184
            assert TypeInfo.fetch(connection, "nothing_such") is None

    check("psycopg 3: TypeInfo.fetch", types)

    def transactions():
        with psycopg.connect(WHERE) as connection:
            connection.read_only = True
            connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
            with connection.transaction():
                connection.execute("SELECT 1")
                try:
                    with connection.transaction():
                        connection.execute("SELECT * FROM nothing")
                except psycopg.errors.UndefinedTable:
                    pass
                same(connection.execute("SELECT 1").fetchone(), (1,))

    check("psycopg 3: transactions, nested, read-only", transactions)


def of_psycopg2():
    def questions():
        with psycopg2.connect(WHERE) as connection:
            connection.set_session(readonly=True, autocommit=False)
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute("SELECT time, value FROM telemetry WHERE device_id = %s AND metric IN %s AND time BETWEEN %s AND %s",
                               ("c1", ("t", "x"), NOON, NOON + datetime.timedelta(hours=1)))
                row = cursor.fetchone()
                same((row["time"], row["value"]), (NOON, 21.5))
                cursor.execute("SELECT array_agg(metric ORDER BY metric) AS m FROM telemetry WHERE device_id = ANY(%s)", (["c1"],))
                same(cursor.fetchone()["m"], ["n", "t"])
            connection.rollback()

    check("psycopg2: parameters, session, arrays", questions)

    def cursor():
        with psycopg2.connect(WHERE) as connection, connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT value FROM generate_series(1, 1000)")
            same(sum(row[0] for row in cursor), 500500)

    check("psycopg2: server-side cursor", cursor)

    def copy():
        import io
        with psycopg2.connect(WHERE) as connection, connection.cursor() as cursor:
            out = io.StringIO()
            cursor.copy_expert("COPY (SELECT device_id, value FROM telemetry WHERE device_id = 'c1' AND metric = 't') TO STDOUT WITH CSV HEADER", out)
            same(out.getvalue().replace("\r\n", "\n"), "device_id,value\nc1,21.5\n")

    check("psycopg2: copy_expert", copy)


def of_sqlalchemy():
    for driver in ["psycopg", "psycopg2"]:
        engine = sqlalchemy.create_engine(f"postgresql+{driver}://{USER}:{PASSWORD}@127.0.0.1:{PORT}/penstock")
        name = f"SQLAlchemy over {driver}"

        def reflection():
            inspector = sqlalchemy.inspect(engine)
            tables = inspector.get_table_names()
            assert {"telemetry", "devices", "aggregations", "latest"} <= set(tables), tables
            columns = {column["name"]: column for column in inspector.get_columns("telemetry")}
            assert isinstance(columns["time"]["type"], sqlalchemy.TIMESTAMP) and columns["time"]["type"].timezone
            assert isinstance(columns["value"]["type"], sqlalchemy.Double), columns["value"]
            assert isinstance(columns["integer"]["type"], sqlalchemy.BIGINT)
            assert columns["time"]["nullable"] is False and columns["value"]["nullable"] is True
            assert inspector.has_table("telemetry") and not inspector.has_table("nothing")
            assert "public" in inspector.get_schema_names()

        check(f"{name}: tables and columns", reflection)

        for what in ["get_pk_constraint", "get_foreign_keys", "get_indexes", "get_unique_constraints", "get_check_constraints", "get_table_comment"]:
            check(f"{name}: {what}", lambda: getattr(sqlalchemy.inspect(engine), what)("telemetry"))
        for what in ["get_view_names", "get_materialized_view_names", "get_sequence_names", "get_enums", "get_domains"]:
            check(f"{name}: {what}", lambda: getattr(sqlalchemy.inspect(engine), what)())

        def reflected():
            metadata = sqlalchemy.MetaData()
            metadata.reflect(engine)
            telemetry = metadata.tables["telemetry"]
            asked = sqlalchemy.select(telemetry.c.time, telemetry.c.value).where(
                telemetry.c.device_id == "c1", telemetry.c.time >= NOON, telemetry.c.metric.in_(["t"])).order_by(telemetry.c.time).limit(5)
            with engine.connect() as connection:
                same([tuple(row) for row in connection.execute(asked)], [(NOON, 21.5)])
                same(connection.execution_options(stream_results=True, yield_per=10).execute(sqlalchemy.text("SELECT value FROM generate_series(1, 100)")).scalars().all(), list(range(1, 101)))

        check(f"{name}: MetaData.reflect, select, stream", reflected)


async def of_asyncpg():
    connect = lambda: asyncpg.connect(host="127.0.0.1", port=int(PORT), user=USER, password=PASSWORD, database="penstock", timeout=20)

    async def questions():
        connection = await connect()
        for _ in range(3):
            row = await connection.fetchrow("SELECT time, value FROM telemetry WHERE device_id = $1 AND time = $2", "c1", NOON)
            same((row["time"], row["value"]), (NOON, 21.5))
        same(await connection.fetchval("SELECT integer FROM telemetry WHERE integer = $1", 9007199254740993), 9007199254740993)
        same(await connection.fetchval("SELECT 1.5::numeric"), decimal.Decimal("1.5"))
        await connection.close()

    async def arrays():
        connection = await connect()
        same(await connection.fetchval("SELECT array_agg(metric ORDER BY metric) FROM telemetry WHERE device_id = 'c1'"), ["n", "t"])
        same(await connection.fetchval("SELECT count(*) FROM telemetry WHERE device_id = ANY($1::text[]) AND metric = 't'", ["c1"]), 1)
        await connection.close()

    async def cursors():
        connection = await connect()
        async with connection.transaction(readonly=True):
            total = 0
            async for row in connection.cursor("SELECT value FROM generate_series(1, 1000)", prefetch=50):
                total += row[0]
            same(total, 500500)
        await connection.close()

    async def pool():
        async with asyncpg.create_pool(host="127.0.0.1", port=int(PORT), user=USER, password=PASSWORD, database="penstock", min_size=2, max_size=4) as pool:
            same(await asyncio.gather(*[pool.fetchval("SELECT $1::int", n) for n in range(20)]), list(range(20)))

    async def copy():
        import io
        connection = await connect()
        out = io.BytesIO()
        await connection.copy_from_query("SELECT device_id, value FROM telemetry WHERE device_id = $1 AND metric = 't'", "c1", output=out, format="csv")
        same(out.getvalue().decode().replace("\r\n", "\n"), "c1,21.5\n")
        await connection.close()

    async def introspection():
        connection = await connect()
        await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=str)
        await connection.close()

    for body in [questions, arrays, cursors, pool, copy, introspection]:
        holder = []
        try:
            await body()
        except Exception as error:
            holder.append(error)

        def outcome():
            if holder:
                raise holder[0]

        check(f"asyncpg: {body.__name__}", outcome)


of_psycopg()
of_psycopg2()
of_sqlalchemy()
asyncio.run(of_asyncpg())
sys.exit(1 if failed else 0)
