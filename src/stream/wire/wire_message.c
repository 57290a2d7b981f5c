/*
 * wire_message.c
 */
#include "stream/wire/wire_message.h"

void
WireMessageCopy(char *message, const char *text, size_t len)
{
	size_t written = 0;

	for (size_t i = 0; i < len && written < WIRE_MESSAGE_SIZE - 1; i++)
	{
		unsigned char c = text[i];

		if (c == '\0')
			break;
		if (c <= ' ' || c >= 0x7F)
			c = c <= ' ' ? ' ' : '?';
		message[written++] = c;
	}
	message[written] = '\0';
}
