// pgx v5 against a server with the readings of ../../sql-clients.sh. Arguments: port, user, password.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
)

var failed = false

func check(what string, body func() error) {
	if err := body(); err != nil {
		failed = true
		fmt.Printf("FAILED  pgx: %s: %v\n", what, err)
		return
	}
	fmt.Printf("ok      pgx: %s\n", what)
}

func same(found, expected any) error {
	if !reflect.DeepEqual(found, expected) {
		return fmt.Errorf("%#v is not %#v", found, expected)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	where := fmt.Sprintf("postgres://%s:%s@127.0.0.1:%s/penstock?sslmode=prefer", os.Args[2], os.Args[3], os.Args[1])
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

	modes := map[string]pgx.QueryExecMode{
		"cache statement": pgx.QueryExecModeCacheStatement, "cache describe": pgx.QueryExecModeCacheDescribe,
		"describe exec": pgx.QueryExecModeDescribeExec, "exec": pgx.QueryExecModeExec, "simple": pgx.QueryExecModeSimpleProtocol,
	}
	for name, mode := range modes {
		config, err := pgx.ParseConfig(where)
		if err != nil {
			panic(err)
		}
		config.DefaultQueryExecMode = mode
		connection, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			fmt.Println("FAILED  pgx: connect", name, err)
			os.Exit(1)
		}
		check(name+": text and times", func() error {
			for again := 0; again < 3; again++ {
				var at time.Time
				var value float64
				err := connection.QueryRow(ctx, "SELECT time, value FROM telemetry WHERE device_id = $1 AND time = $2", "c1", noon).Scan(&at, &value)
				if err != nil {
					return err
				}
				if !at.Equal(noon) || value != 21.5 {
					return fmt.Errorf("%v %v", at, value)
				}
			}
			return nil
		})
		check(name+": int8, float8, bool", func() error {
			var n int64
			if err := connection.QueryRow(ctx, "SELECT integer FROM telemetry WHERE integer = $1", int64(9007199254740993)).Scan(&n); err != nil {
				return err
			}
			var count int
			if err := connection.QueryRow(ctx, "SELECT count(*) FROM telemetry WHERE device_id = 'c1' AND value > $1 AND value < $2", 21.25, 22.0).Scan(&count); err != nil {
				return err
			}
			var yes bool
			if err := connection.QueryRow(ctx, "SELECT $1::bool", true).Scan(&yes); err != nil {
				return err
			}
			return same([]any{n, count, yes}, []any{int64(9007199254740993), 1, true})
		})
		check(name+": numeric", func() error {
			var n pgtype.Numeric
			if err := connection.QueryRow(ctx, "SELECT 12345.6789::numeric(20, 4)").Scan(&n); err != nil {
				return err
			}
			f, err := n.Float64Value()
			if err != nil {
				return err
			}
			return same(f.Float64, 12345.6789)
		})
		check(name+": text[] out", func() error {
			var metrics []string
			if err := connection.QueryRow(ctx, "SELECT array_agg(metric ORDER BY metric) FROM telemetry WHERE device_id = $1", "c1").Scan(&metrics); err != nil {
				return err
			}
			return same(metrics, []string{"n", "t"})
		})
		check(name+": text[] in", func() error {
			var count int
			if err := connection.QueryRow(ctx, "SELECT count(*) FROM telemetry WHERE device_id = ANY($1) AND metric = 't'", []string{"c1", "x"}).Scan(&count); err != nil {
				return err
			}
			return same(count, 1)
		})
		check(name+": NULL", func() error {
			var value *float64
			return connection.QueryRow(ctx, "SELECT value FROM telemetry WHERE device_id = 'c2' AND metric = 's'").Scan(&value)
		})
		check(name+": date, interval", func() error {
			var day time.Time
			var width pgtype.Interval
			if err := connection.QueryRow(ctx, "SELECT date '2026-11-20', interval '90 minutes'").Scan(&day, &width); err != nil {
				return err
			}
			return same([]any{day, width.Microseconds}, []any{time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), int64(90 * 60 * 1000000)})
		})
		check(name+": transaction, read only", func() error {
			tx, err := connection.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
			if err != nil {
				return err
			}
			var one int
			if err := tx.QueryRow(ctx, "SELECT 1").Scan(&one); err != nil {
				return err
			}
			return tx.Commit(ctx)
		})
		check(name+": CollectRows to structs", func() error {
			type reading struct {
				Time   time.Time `db:"time"`
				Device string    `db:"device_id"`
				Value  *float64  `db:"value"`
			}
			rows, err := connection.Query(ctx, "SELECT time, device_id, value FROM telemetry WHERE device_id IN ('c1', 'c2') ORDER BY time")
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, pgx.RowToStructByName[reading])
			if err != nil {
				return err
			}
			return same(len(found), 5)
		})
		connection.Close(ctx)
	}

	connection, err := pgx.Connect(ctx, where)
	if err != nil {
		panic(err)
	}
	defer connection.Close(ctx)
	check("type introspection (LoadType)", func() error {
		kind, err := connection.LoadType(ctx, "_timestamptz")
		if err != nil {
			return err
		}
		return same(kind.OID, uint32(1185))
	})
	check("batch", func() error {
		batch := &pgx.Batch{}
		for n := 0; n < 20; n++ {
			batch.Queue("SELECT $1::int8", n)
		}
		results := connection.SendBatch(ctx, batch)
		for n := 0; n < 20; n++ {
			var found int
			if err := results.QueryRow().Scan(&found); err != nil {
				return err
			}
			if found != n {
				return fmt.Errorf("%d is not %d", found, n)
			}
		}
		return results.Close()
	})
	check("cancelled by its context", func() error {
		short, stop := context.WithTimeout(ctx, time.Second)
		defer stop()
		other, err := pgx.Connect(ctx, where)
		if err != nil {
			return err
		}
		defer other.Close(ctx)
		began := time.Now()
		var n int
		err = other.QueryRow(short, "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b").Scan(&n)
		if err == nil || time.Since(began) > 8*time.Second {
			return fmt.Errorf("%v after %v", err, time.Since(began))
		}
		return nil
	})
	check("copy to", func() error {
		tag, err := connection.PgConn().CopyTo(ctx, os.Stderr, "COPY (SELECT 1 WHERE false) TO STDOUT")
		if err != nil {
			return err
		}
		return same(tag.RowsAffected(), int64(0))
	})
	check("pool", func() error {
		pool, err := pgxpool.New(ctx, where)
		if err != nil {
			return err
		}
		defer pool.Close()
		done := make(chan error)
		for n := 0; n < 16; n++ {
			go func() {
				var count int
				done <- pool.QueryRow(ctx, "SELECT count(*) FROM devices WHERE id = $1", "c1").Scan(&count)
			}()
		}
		for n := 0; n < 16; n++ {
			if err := <-done; err != nil {
				return err
			}
		}
		return pool.Ping(ctx)
	})
	check("database/sql", func() error {
		db, err := sql.Open("pgx", where)
		if err != nil {
			return err
		}
		defer db.Close()
		prepared, err := db.Prepare("SELECT value FROM telemetry WHERE device_id = $1 AND metric = $2")
		if err != nil {
			return err
		}
		var value float64
		if err := prepared.QueryRow("c1", "t").Scan(&value); err != nil {
			return err
		}
		return same(value, 21.5)
	})
	if failed {
		os.Exit(1)
	}
}
