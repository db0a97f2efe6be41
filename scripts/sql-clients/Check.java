// The JDBC driver of PostgreSQL (org.postgresql:postgresql) against a server with the readings of ../sql-clients.sh.
// Arguments: port, user, password.

import java.math.BigDecimal;
import java.sql.*;
import java.time.*;
import java.util.*;

public class Check {
    static int failed = 0;

    interface Try {
        void run() throws Exception;
    }

    static void check(String what, Try body) {
        try {
            body.run();
            System.out.println("ok      jdbc: " + what);
        } catch (Throwable error) {
            failed++;
            System.out.println("FAILED  jdbc: " + what + ": " + error);
        }
    }

    static void same(Object found, Object expected) {
        if (!Objects.equals(found, expected)) throw new AssertionError(found + " is not " + expected);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) found.add(rows.getString(name));
        return found;
    }

    static void fails(String words, Try body) throws Exception {
        try {
            body.run();
        } catch (SQLException error) {
            if (!error.getMessage().contains(words)) throw error;
            return;
        }
        throw new AssertionError("it should have failed with: " + words);
    }

    public static void main(String[] arguments) throws Exception {
        String base = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/penstock";
        for (String mode : List.of("extended", "simple", "extendedForPrepared", "extendedCacheEverything")) {
            Properties with = new Properties();
            with.put("user", arguments[1]);
            with.put("password", arguments[2]);
            with.put("preferQueryMode", mode);
            with.put("prepareThreshold", "2");
            try (Connection connection = DriverManager.getConnection(base, with)) {
                questions(mode, connection);
                if (mode.equals("extended")) metadata(connection);
            }
        }
        System.exit(failed == 0 ? 0 : 1);
    }

    static void questions(String mode, Connection connection) throws Exception {
        OffsetDateTime noon = OffsetDateTime.of(2026, 11, 20, 12, 0, 0, 0, ZoneOffset.UTC);
        check(mode + ": version, isValid", () -> {
            same(connection.getMetaData().getDatabaseMajorVersion(), 16);
            same(connection.isValid(5), true);
            same(connection.getCatalog(), "penstock");
            same(connection.getSchema(), "public");
        });
        check(mode + ": parameters of each type", () -> {
            String sql = "SELECT value FROM telemetry WHERE device_id = ? AND metric = ? AND time >= ? AND time < ? AND value > ? AND value < ?";
            for (int again = 0; again < 8; again++) { // prepared on the server from the second time on
                try (PreparedStatement asked = connection.prepareStatement(sql)) {
                    asked.setString(1, "c1");
                    asked.setString(2, "t");
                    asked.setObject(3, noon);
                    asked.setTimestamp(4, Timestamp.from(noon.plusDays(1).toInstant()));
                    asked.setInt(5, 20);
                    asked.setDouble(6, 22.5);
                    ResultSet rows = asked.executeQuery();
                    same(rows.next(), true);
                    same(rows.getDouble(1), 21.5);
                    same(rows.next(), false);
                }
            }
        });
        check(mode + ": long, float, BigDecimal, boolean, null", () -> {
            try (PreparedStatement asked = connection.prepareStatement(
                    "SELECT integer FROM telemetry WHERE device_id = 'c1' AND metric = 'n' AND integer = ?")) {
                asked.setLong(1, 9007199254740993L);
                ResultSet rows = asked.executeQuery();
                same(rows.next(), true);
                same(rows.getLong(1), 9007199254740993L);
            }
            try (PreparedStatement asked = connection.prepareStatement(
                    "SELECT count(*) FROM telemetry WHERE device_id = 'c1' AND value < ? AND value > ?")) {
                asked.setBigDecimal(1, new BigDecimal("21.75"));
                asked.setFloat(2, 21.25f);
                ResultSet rows = asked.executeQuery();
                rows.next();
                same(rows.getInt(1), 1);
            }
            try (PreparedStatement asked = connection.prepareStatement("SELECT count(*) FROM aggregations WHERE revised = ?")) {
                asked.setBoolean(1, true);
                same(asked.executeQuery().next(), true);
            }
            try (PreparedStatement asked = connection.prepareStatement("SELECT count(*) FROM telemetry WHERE device_id = ?")) {
                asked.setNull(1, Types.VARCHAR);
                ResultSet rows = asked.executeQuery();
                rows.next();
                same(rows.getInt(1), 0);
            }
        });
        check(mode + ": times with a time zone", () -> {
            try (PreparedStatement asked = connection.prepareStatement(
                    "SELECT time, date_trunc('day', time) FROM telemetry WHERE device_id = 'c1' AND time = ?")) {
                asked.setObject(1, noon.withOffsetSameInstant(ZoneOffset.ofHoursMinutes(5, 30)));
                ResultSet rows = asked.executeQuery();
                same(rows.next(), true);
                same(rows.getObject(1, OffsetDateTime.class).toInstant(), noon.toInstant());
                same(rows.getTimestamp(1).toInstant(), noon.toInstant());
                same(rows.getTimestamp(2).toInstant(), noon.minusHours(12).toInstant());
                same(rows.getMetaData().getColumnTypeName(1), "timestamptz");
            }
        });
        check(mode + ": arrays", () -> {
            try (PreparedStatement asked = connection.prepareStatement(
                    "SELECT count(*) FROM telemetry WHERE device_id = ANY (?) AND metric = 't'")) {
                asked.setArray(1, connection.createArrayOf("text", new String[] {"c1", "nobody"}));
                ResultSet rows = asked.executeQuery();
                rows.next();
                same(rows.getInt(1), 1);
            }
            ResultSet rows = connection.createStatement().executeQuery(
                    "SELECT array_agg(metric ORDER BY metric) FROM telemetry WHERE device_id = 'c1'");
            rows.next();
            same(Arrays.asList((Object[]) rows.getArray(1).getArray()), List.of("n", "t"));
        });
        check(mode + ": fetch size, row by row in a transaction", () -> {
            connection.setAutoCommit(false);
            try (Statement asked = connection.createStatement()) {
                asked.setFetchSize(7);
                ResultSet rows = asked.executeQuery("SELECT value FROM generate_series(1, 1000)");
                long sum = 0;
                while (rows.next()) sum += rows.getLong(1);
                same(sum, 500500L);
            }
            connection.commit();
            connection.setAutoCommit(true);
        });
        check(mode + ": autocommit off, savepoints, rollback, an error in between", () -> {
            connection.setAutoCommit(false);
            try (Statement asked = connection.createStatement()) {
                asked.executeQuery("SELECT 1").next();
                Savepoint point = connection.setSavepoint("here");
                fails("not found", () -> asked.executeQuery("SELECT * FROM nothing"));
                connection.rollback(point);
                asked.executeQuery("SELECT 1").next();
                connection.releaseSavepoint(point);
            } finally {
                connection.rollback();
                connection.setAutoCommit(true);
            }
        });
        check(mode + ": read-only, isolation", () -> {
            connection.setReadOnly(true);
            connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
            connection.createStatement().executeQuery("SELECT 1").next();
            connection.getTransactionIsolation();
            connection.setReadOnly(false);
        });
        check(mode + ": max rows, several results, a batch is told no", () -> {
            try (Statement asked = connection.createStatement()) {
                for (int most : new int[] {3, Integer.MAX_VALUE, 0}) {
                    asked.setMaxRows(most);
                    ResultSet rows = asked.executeQuery("SELECT value FROM generate_series(1, 10)");
                    int count = 0;
                    while (rows.next()) count++;
                    // The simple protocol has no word for it.
                    if (mode.equals("extended")) same(count, most == 3 ? 3 : 10);
                }
                same(asked.execute("SELECT 1; SELECT 2"), true);
                same(asked.getMoreResults(), true);
                ResultSet second = asked.getResultSet();
                second.next();
                same(second.getInt(1), 2);
                asked.addBatch("INSERT INTO telemetry VALUES (1)");
                asked.addBatch("DELETE FROM telemetry");
                fails("only SELECT", asked::executeBatch);
                fails("only SELECT", () -> asked.executeUpdate("CREATE TABLE t (a INT)"));
            }
        });
        check(mode + ": query timeout", () -> {
            try (Statement asked = connection.createStatement()) {
                asked.setQueryTimeout(1);
                long began = System.nanoTime();
                fails("", () -> asked.executeQuery(
                        "SELECT count(*) FROM generate_series(1, 10000000) a, generate_series(1, 10000000) b"));
                if (System.nanoTime() - began > 8_000_000_000L) throw new AssertionError("it took too long");
            }
        });
        check(mode + ": parameter metadata", () -> {
            try (PreparedStatement asked = connection.prepareStatement("SELECT count(*) FROM telemetry WHERE device_id = ? AND time > ? AND integer = ?")) {
                if (mode.equals("simple")) return;
                ParameterMetaData known = asked.getParameterMetaData();
                same(known.getParameterCount(), 3);
                same(known.getParameterTypeName(1), "text");
                same(known.getParameterTypeName(2), "timestamptz");
                same(known.getParameterTypeName(3), "int8");
                same(asked.getMetaData().getColumnTypeName(1), "int8");
            }
        });
    }

    static void metadata(Connection connection) throws Exception {
        DatabaseMetaData known = connection.getMetaData();
        check("getTables", () -> {
            List<String> names = column(known.getTables(null, "public", "%", new String[] {"TABLE"}), "TABLE_NAME");
            for (String name : List.of("telemetry", "devices", "aggregations", "latest", "dlq", "ledger"))
                if (!names.contains(name)) throw new AssertionError(name + " is not in " + names);
            column(known.getTables(null, null, "%", null), "TABLE_NAME");
            same(column(known.getTables("penstock", "public", "tele%", new String[] {"TABLE", "VIEW"}), "TABLE_TYPE"), List.of("TABLE"));
        });
        check("getColumns", () -> {
            ResultSet rows = known.getColumns(null, "public", "telemetry", "%");
            Map<String, String> types = new LinkedHashMap<>();
            while (rows.next()) types.put(rows.getString("COLUMN_NAME"), rows.getString("TYPE_NAME") + " " + rows.getString("IS_NULLABLE"));
            same(types.get("time"), "timestamptz NO");
            same(types.get("device_id"), "text NO");
            same(types.get("value"), "float8 YES");
            same(types.get("integer"), "int8 YES");
        });
        check("getPrimaryKeys", () -> column(known.getPrimaryKeys(null, "public", "telemetry"), "COLUMN_NAME"));
        check("getIndexInfo", () -> column(known.getIndexInfo(null, "public", "telemetry", false, true), "INDEX_NAME"));
        check("getImportedKeys", () -> column(known.getImportedKeys(null, "public", "telemetry"), "FKCOLUMN_NAME"));
        check("getExportedKeys", () -> column(known.getExportedKeys(null, "public", "telemetry"), "FKCOLUMN_NAME"));
        check("getBestRowIdentifier", () -> column(known.getBestRowIdentifier(null, "public", "telemetry", 0, true), "COLUMN_NAME"));
        check("getVersionColumns", () -> column(known.getVersionColumns(null, "public", "telemetry"), "COLUMN_NAME"));
        check("getSchemas", () -> {
            List<String> names = column(known.getSchemas(), "TABLE_SCHEM");
            if (!names.contains("public")) throw new AssertionError(names);
        });
        check("getCatalogs", () -> {
            List<String> names = column(known.getCatalogs(), "TABLE_CAT");
            if (!names.contains("penstock")) throw new AssertionError(names);
        });
        check("getTableTypes", () -> column(known.getTableTypes(), "TABLE_TYPE"));
        check("getTypeInfo", () -> {
            List<String> names = column(known.getTypeInfo(), "TYPE_NAME");
            if (!names.contains("timestamptz")) throw new AssertionError(names);
        });
        check("getFunctions", () -> column(known.getFunctions(null, null, "%"), "FUNCTION_NAME"));
        check("getProcedures", () -> column(known.getProcedures(null, null, "%"), "PROCEDURE_NAME"));
        check("getProcedureColumns", () -> column(known.getProcedureColumns(null, null, "%", "%"), "COLUMN_NAME"));
        check("getFunctionColumns", () -> column(known.getFunctionColumns(null, null, "%", "%"), "COLUMN_NAME"));
        check("getTablePrivileges", () -> column(known.getTablePrivileges(null, "public", "telemetry"), "PRIVILEGE"));
        check("getColumnPrivileges", () -> column(known.getColumnPrivileges(null, "public", "telemetry", "%"), "PRIVILEGE"));
        check("getUDTs", () -> column(known.getUDTs(null, "public", "%", null), "TYPE_NAME"));
        check("getSQLKeywords, functions, client info", () -> {
            known.getSQLKeywords();
            known.getMaxColumnNameLength();
            column(known.getClientInfoProperties(), "NAME");
            connection.getClientInfo();
        });
    }
}
