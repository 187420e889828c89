"""Ibis on Spark with DuckDB's meaning: where the two engines differ, the SQL for Spark says what DuckDB would do.

Spark has no unsigned numbers. One of 64 bits is held as a signed one that is less by 2^63, so their order is the same.
"""

import re
import unicodedata
from typing import Any

import ibis.expr.operations as ops
import pyarrow as pa
import sqlglot as sg
import sqlglot.expressions as sge
from ibis import Expr
from ibis.backends.sql.compilers.base import NULL
from ibis.backends.sql.compilers.pyspark import PySparkCompiler

HALF = 2**63
FACTOR = 0xD6E8FEB86659FD93 - 2**64  # of DuckDB's hash of a number, as a signed number
PATTERNS = {"%Y%m%d%H%M%S": "yyyyMMddHHmmss", "%Y%m%d": "yyyyMMdd"}  # that Spark reads by itself
VALUES = {  # in Spark's SQL, of the argument x
    "epoch_us": "unix_micros(CAST(x AS TIMESTAMP_LTZ))",
    "make_timestamp": "CAST(timestamp_micros(x) AS TIMESTAMP_NTZ)",
    "bits": "x ^ (-9223372036854775807 - 1)",  # between an unsigned number as it is held, and its bits
    "hex": "CAST(conv(substr(x, 3), 16, -10) AS BIGINT)",  # the bits of a number such as 0x1f
    "spread": f"(x ^ shiftrightunsigned(x, 32)) * ({FACTOR})",
    "shifted": "x ^ shiftrightunsigned(x, 32)",
    "strip": "btrim(x, concat(' \\t\\n\\r', char(11), char(12)))",
    "time": """coalesce(TRY_CAST(x AS TIMESTAMP_NTZ), TRY_CAST(
        regexp_replace(x, '[ T]24:00(:00([.]0*)?)?$', '') AS TIMESTAMP_NTZ) + INTERVAL 1 DAY)""",
    # as DuckDB writes decimal numbers: digits where Spark would write 1.2345678E7
    "digits": """CASE WHEN instr(x, 'E') = 0 OR abs(CAST(x AS DOUBLE)) >= 1e16 OR abs(CAST(x AS DOUBLE)) < 1e-4 THEN x
        ELSE regexp_replace(CAST(CAST(x AS DECIMAL(38, 20)) AS STRING), '(?<![.])0+$', '') END""",
}  # fmt: skip


class Compiler(PySparkCompiler):
    """Ibis' translation into Spark's SQL, but for operations that DuckDB does in another way."""

    __slots__ = ()
    SIMPLE_OPS: dict[Any, Any] = {}  # those of the class above have become methods there, and would replace ours

    def visit_NonNullLiteral(self, op: Any, *, value: Any, dtype: Any) -> Any:
        """Numbers without a sign are held as signed ones."""
        if dtype.is_unsigned_integer() and dtype.nbytes == 8:
            return sge.convert(value - HALF)
        return super().visit_NonNullLiteral(op, value=value, dtype=dtype)

    def visit_Cast(self, op: Any, *, arg: Any, to: Any) -> Any:
        """Numbers are rounded to the nearest whole one, not cut off, and written as digits."""
        from_ = op.arg.dtype
        if to.is_unsigned_integer() and from_.is_string():
            return value("bits", value("hex", arg))
        if to.is_integer() and from_.is_floating():
            return self.cast(self.f.rint(arg), to)
        if to.is_string() and from_.is_floating():
            return value("digits", self.cast(arg, to))
        return super().visit_Cast(op, arg=arg, to=to)

    def visit_Hash(self, op: Any, *, arg: Any) -> Any:
        """DuckDB's hash of a whole number."""
        if not op.arg.dtype.is_integer():
            raise NotImplementedError(f"expected the hash of whole numbers, got that of {op.arg.dtype}")
        own = value("bits", arg) if op.arg.dtype.is_unsigned_integer() else arg
        return value("shifted", value("spread", value("spread", own)))

    def visit_Strip(self, op: Any, *, arg: Any) -> Any:
        """Spaces, tabs and ends of lines are taken off, not spaces alone."""
        return value("strip", arg)

    def visit_IsNull(self, op: Any, *, arg: Any) -> Any:
        """A number that is none (NaN) is there."""
        return arg.is_(NULL)

    def visit_NotNull(self, op: Any, *, arg: Any) -> Any:
        """A number that is none (NaN) is there."""
        return arg.is_(sg.not_(NULL))

    def visit_TryCast(self, op: Any, *, arg: Any, to: Any) -> Any:
        """A day may end with 24:00."""
        if to.is_timestamp() and op.arg.dtype.is_string():
            return value("time", arg)
        return super().visit_TryCast(op, arg=arg, to=to)

    def visit_RegexSearch(self, op: Any, *, arg: Any, pattern: Any) -> Any:
        """Patterns mean what they mean in RE2."""
        return self.f.regexp_like(arg, in_java(pattern))

    def visit_RegexExtract(self, op: Any, *, arg: Any, pattern: Any, index: Any) -> Any:
        """Patterns mean what they mean in RE2."""
        return self.f.regexp_extract(arg, in_java(pattern), index)

    def visit_RegexReplace(self, op: Any, *, arg: Any, pattern: Any, replacement: Any) -> Any:
        """Patterns mean what they mean in RE2."""
        return self.f.regexp_replace(arg, in_java(pattern), replacement)

    def visit_WindowFunction(self, op: Any, *, func: Any, group_by: Any, order_by: Any, **others: Any) -> Any:
        """Rows that are numbered as they come need not come together on one worker."""
        if isinstance(op.func, ops.RowNumber) and not group_by and not order_by:
            return self.f.monotonically_increasing_id() + 1  # Ibis takes 1 from the numbers of SQL
        return super().visit_WindowFunction(op, func=func, group_by=group_by, order_by=order_by, **others)

    def visit_ScalarUDF(self, op: Any, **arguments: Any) -> Any:
        """The functions that readers take from DuckDB are in VALUES, or are defined in Python."""
        name, given = op.__func_name__, list(arguments.values())
        if name in VALUES:
            return value(name, *given)
        if name == "try_strptime" and (pattern := PATTERNS.get(given[1].this)):
            return sg.cast(self.f.try_to_timestamp(given[0], sge.convert(pattern)), "timestampntz", dialect="spark")
        return self.f[name](*given)


def value(name: str, argument: Any) -> Any:
    """Return one of VALUES, of this argument."""

    def put(node: Any) -> Any:
        return sge.paren(argument.copy()) if isinstance(node, sge.Column) and node.name == "x" else node

    return sge.paren(sg.parse_one(VALUES[name], dialect="spark").transform(put))


def in_java(pattern: Any) -> Any:
    r"""Return a pattern of RE2 for Java, whose `$` may stand before a last end of line, and whose `\s` has one more."""
    text = re.sub(r"(?<!\\)\$", r"\\z", pattern.this)
    return sge.convert(text.replace(r"\s", r"[\s&&[^\x0B]]"))


def connect(session: Any) -> Any:
    """Return Ibis' connection to a Spark session, with our translation. Results come as Arrow, without pandas."""
    from ibis.backends.pyspark import Backend

    class Connection(Backend):
        compiler = Compiler()

        def frame(self, expression: Expr) -> Any:
            """Return the Spark DataFrame of an expression, not computed yet."""
            return self.raw_sql(self.compile(expression.as_table()))

        def to_pyarrow(self, expr: Expr, /, **_: Any) -> Any:
            return expr.__pyarrow_result__(self.frame(expr).toArrow())

        def execute(self, expr: Expr, /, **_: Any) -> Any:
            return expr.__pandas_result__(self.frame(expr).toArrow().to_pandas())

    _define_functions(session)
    connection = Connection()
    connection.register_options()
    return connection.connect(session)


def _define_functions(session: Any) -> None:
    """Define the functions in a session that Spark's SQL lacks."""
    import pandas as pd
    from pyspark.sql.functions import pandas_udf, udf

    def composed(text):
        return None if text is None else unicodedata.normalize("NFC", text)

    def read_times(texts: pd.Series, forms: pd.Series) -> pd.Series:
        import duckdb

        connection = duckdb.connect()
        connection.register("times", pa.table({"text": pa.array(texts, "string")}))
        return connection.execute("SELECT try_strptime(text, ?) AS moment FROM times", [forms.iloc[0]]).df()["moment"]

    session.udf.register("nfc_normalize", udf(composed, "string"))
    session.udf.register("try_strptime", pandas_udf(read_times, "timestamp_ntz"))
