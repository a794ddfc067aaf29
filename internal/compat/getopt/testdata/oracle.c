/*
 * Runs the C library's getopt_long over vectors read from stdin and prints
 * every step. The Go side of the conversation is differential_test.go.
 *
 * Input is a stream of fields, each ended by a NUL byte:
 *
 *   table SHORT N {NAME ARG VALUE}*N    start new tables
 *   proto NAME N {NAME ARG VALUE}*N     long options that "-p NAME" adds
 *   run POSIXLY LETTERS N {WORD}*N      scan; LETTERS take a following word
 *
 * Output is one line per step: kind, value, argument, position in the long
 * table, optind, argv[optind - 1], the word taken, the whole vector. Strings
 * are quoted with the bytes outside ! to ~ in hexadecimal; "-" means none.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LONG 1024
#define MAX_PROTO 16
#define PROTO_STEP 256

struct proto {
	char *name;
	int n;
	struct option opts[64];
};

static char *short_opts;
static struct option long_opts[MAX_LONG + 1];
static int n_long;
static struct proto protos[MAX_PROTO];
static int n_proto;

static char *field(void)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getdelim(&line, &size, 0, stdin);

	if (n <= 0 || line[n - 1] != 0) {
		free(line);
		return NULL;
	}
	return line;
}

static int number(void)
{
	char *f = field();
	int n = atoi(f);

	free(f);
	return n;
}

static int read_options(struct option *opts)
{
	int i, n = number();

	for (i = 0; i < n; i++) {
		opts[i].name = field();
		opts[i].has_arg = number();
		opts[i].flag = NULL;
		opts[i].val = number();
	}
	return n;
}

static void print_string(const char *s)
{
	putchar(' ');
	if (!s) {
		putchar('-');
		return;
	}
	putchar('"');
	for (; *s; s++) {
		unsigned char c = *s;

		if (c > ' ' && c < 127 && c != '"' && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
	putchar('"');
}

static void print_vector(int argc, char **argv)
{
	int i;

	for (i = 0; i < argc; i++)
		print_string(argv[i]);
	putchar('\n');
}

static void add_proto(int nth)
{
	int i, j;

	for (i = 0; i < n_proto; i++) {
		if (strcmp(protos[i].name, optarg) != 0)
			continue;
		for (j = 0; j < protos[i].n && n_long < MAX_LONG; j++) {
			long_opts[n_long] = protos[i].opts[j];
			long_opts[n_long].val += nth * PROTO_STEP;
			n_long++;
		}
		memset(&long_opts[n_long], 0, sizeof(long_opts[0]));
		return;
	}
}

static void run(void)
{
	int posixly = number();
	char *takers = field();
	int argc = number(), base = n_long, nth = 0, i, c;
	char **argv = calloc(argc + 1, sizeof(*argv));

	for (i = 0; i < argc; i++)
		argv[i] = field();
	if (posixly)
		setenv("POSIXLY_CORRECT", "", 1);
	else
		unsetenv("POSIXLY_CORRECT");
	opterr = 0;
	optind = 0; /* the C library's way to start afresh */

	for (;;) {
		int index = -1;
		const char *blamed, *taken = NULL;

		c = getopt_long(argc, argv, short_opts, long_opts, &index);
		if (c == -1)
			break;
		blamed = argv[optind - 1];
		if (c != '?' && c != ':' && !optarg && c < 128 &&
		    strchr(takers, c) && optind < argc &&
		    argv[optind][0] != '-' && argv[optind][0] != '!')
			taken = argv[optind++];
		if (c == '?')
			printf("unknown 0");
		else if (c == ':')
			printf("missing 0");
		else
			printf("option %d", c);
		print_string(optarg);
		printf(" %d %d", index, optind);
		print_string(blamed);
		print_string(taken);
		print_vector(argc, argv);
		if (c == 'p')
			add_proto(++nth);
	}
	printf("end %d", optind);
	print_vector(argc, argv);

	n_long = base;
	memset(&long_opts[n_long], 0, sizeof(long_opts[0]));
	for (i = 0; i < argc; i++)
		free(argv[i]); /* permuted, but each is still there once */
	free(argv);
	free(takers);
}

int main(void)
{
	char *cmd;

#ifndef __GLIBC__
	return 77;
#endif
	while ((cmd = field()) != NULL) {
		if (!strcmp(cmd, "table")) {
			short_opts = field();
			n_proto = 0;
			n_long = read_options(long_opts);
			memset(&long_opts[n_long], 0, sizeof(long_opts[0]));
		} else if (!strcmp(cmd, "proto")) {
			struct proto *p = &protos[n_proto++];

			p->name = field();
			p->n = read_options(p->opts);
		} else {
			run();
		}
		free(cmd);
	}
	return 0;
}
