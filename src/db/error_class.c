/*
 * error_class.c
 *
 * Classes of errors.
 */
#include "postgres.h"

#include "db/error_class.h"

#include "mb/pg_wchar.h"

static bool user_triggers = false; /* see ErrorExpectUserTriggers */

/*
 * Transient errors are the classes of passing trouble (connection, transaction state, rollback,
 * resources, objects in use, operator intervention, system), and all that concerns the
 * table rather than the row: wrong or missing objects, columns, types and privileges, and
 * damaged files. An administrator will repair the table, and then it takes the same event.
 */
bool
ErrorIsTransient(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_INVALID_TRANSACTION_STATE:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_SYSTEM_ERROR:
			return true;
	}
	switch (sqlerrcode)
	{
		case ERRCODE_UNDEFINED_OBJECT:
		case ERRCODE_UNDEFINED_SCHEMA:
		case ERRCODE_DATA_CORRUPTED:
		case ERRCODE_INDEX_CORRUPTED:
			return true;
	}
	return false;
}

bool
ErrorIsOfLock(int sqlerrcode)
{
	return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
}

void
ErrorExpectUserTriggers(void)
{
	user_triggers = true;
}

/*
 * Did the server itself raise the error? Procedural languages have text domains of their
 * own. What a function in one of them raises may have any message and any code.
 */
static bool
is_of_server(const ErrorData *error)
{
	return error->domain == NULL || strcmp(error->domain, PG_TEXTDOMAIN("postgres")) == 0;
}

/*
 * Did the error come from within a user's trigger? Our own statements add one line of
 * context to errors of their execution, and none to syntax errors and missing objects, which
 * are found before they run. An error of a trigger has more context.
 */
static bool
is_of_user_trigger(const ErrorData *error)
{
	return user_triggers && error->context != NULL &&
		   (ERRCODE_TO_CATEGORY(error->sqlerrcode) ==
				ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION ||
			strchr(error->context, '\n') != NULL);
}

/*
 * May the message of an error quote an event? Messages about data do. A user's trigger can
 * raise any text, and use an event's values in SQL or as the name of a file or an object.
 */
static bool
may_quote_event(const ErrorData *error)
{
	if (!is_of_server(error) || is_of_user_trigger(error))
		return true;
	return !ErrorIsTransient(error->sqlerrcode) &&
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_INTERNAL_ERROR;
}

bool
ErrorDescribe(const ErrorData *error, char description[ERROR_DESCRIPTION_SIZE])
{
	const char *state = unpack_sql_state(error->sqlerrcode);

	if (!may_quote_event(error))
	{
		ErrorCopyText(description, error->message ? error->message : "unknown error",
					  ERROR_DESCRIPTION_SIZE);
		return true;
	}
	if (is_of_server(error) && error->constraint_name != NULL)
		snprintf(description, ERROR_DESCRIPTION_SIZE, "error %s of constraint \"%s\"", state,
				 error->constraint_name);
	else if (is_of_server(error) && error->column_name != NULL)
		snprintf(description, ERROR_DESCRIPTION_SIZE, "error %s of column \"%s\"", state,
				 error->column_name);
	else
		snprintf(description, ERROR_DESCRIPTION_SIZE, "error %s", state);
	return false;
}

void
ErrorCopyText(char *copy, const char *text, size_t size)
{
	size_t len = strlen(text);

	/* not pg_mbcliplen: the processes without a database have no encoding */
	if (len >= size)
		len = pg_encoding_mbcliplen(PG_UTF8, text, (int) len, (int) size - 1);
	memcpy(copy, text, len);
	copy[len] = '\0';
}
