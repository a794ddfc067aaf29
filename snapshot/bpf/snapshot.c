/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Copies the entries of the connection tracking table into memory that user space has
 * mapped. The program only copies: what the bytes mean is worked out in Go, with
 * the offsets that layout() reports.
 *
 * It writes nothing but its own maps, takes no lock and no reference.
 */
#include "kernel.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* A chain must fit in the buffer; but what is usually used of it shall fit in a processor's
 * own cache, from where user space then reads it. */
#define BUFFER_SIZE (4 << 20)
#define ENOUGH (512 << 10) /* no new bucket is begun */
#define MAX_CONN 320  /* bytes copied of struct nf_conn */
#define MAX_EXT 256   /* bytes copied of its extensions; their length is one byte */
#define TUPLE 40      /* bytes of struct nf_conntrack_tuple; layout() reports the real size */
#define TUPLE_WORDS (TUPLE / 8)
#define TUPLE_DST 20 /* where its second half begins */
#define NODE 16 /* bytes of struct hlist_nulls_node, which the tuple follows */
#define TUPLE_HASH (NODE + TUPLE)

/* One buffer a walk that is under way or being read. */
struct buffer {
	u8 data[BUFFER_SIZE];
};

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	int (*map_flags)[BPF_F_MMAPABLE];
	u32 *key;
	struct buffer *value;
	int (*max_entries)[4]; /* set when loaded */
} buffers SEC(".maps");

/* struct record in decode.go. Behind it come conn bytes of struct nf_conn and ext bytes
 * of its extensions, each rounded up to 8. */
struct record {
	u64 ct;             /* where it lies, which tells two entries with the same tuple apart */
	u32 bucket;
	u16 conn, ext;
	u64 master[TUPLE_WORDS]; /* original tuple of its master, if it has one */
	char helper[16];
};

struct match {
	u64 value[TUPLE_WORDS], mask[TUPLE_WORDS];
};

/* What user space asks for; struct request in walk.go. */
struct request {
	/* in */
	u64 hash_at, size_at; /* where the kernel keeps the table's address and size; 0: fd leads there */
	u32 fd;     /* of /proc/net/nf_conntrack, read from shortly before */
	u32 buffer; /* which one to fill */
	u32 bucket; /* in and out: where to begin, where to go on */
	u32 end;
	struct match orig, reply;
	u32 status, status_mask;
	u32 mark, mark_mask;
	u32 zone, zone_mask;
	u16 state, state_mask; /* of TCP */
	u32 flags;

	/* out */
	u64 hash;
	u64 net; /* in, too, if hash_at is given; 0: the caller's */
	u32 size;
	u32 length; /* of the records */
	u64 jiffies;
	u64 now; /* monotonic clock, ns */
	u32 error;
	u32 retried;

	/* Where the walk stands. It is kept here because the verifier does not look at what is in the
	 * request: of variables on the stack it would follow every value. */
	u64 node;  /* 0: at the head of a bucket */
	u32 begun; /* length when the bucket was begun */
	u32 tries;
};

/* Bits of flags: what is copied beside the entry, and what it is selected by. */
enum {
	WITH_EXT = 1 << 0,
	WITH_ORIG = 1 << 1,
	WITH_REPLY = 1 << 2,
	WITH_SNAT = 1 << 3, /* the source is translated */
	WITH_DNAT = 1 << 4,
	WITH_NAT = 1 << 5, /* one of both is */
	WITH_TUPLES = WITH_ORIG | WITH_REPLY,
	WITH_ANY_NAT = WITH_SNAT | WITH_DNAT | WITH_NAT,
};

/* error */
enum { NO_TABLE = 1, FAULT = 2, RESTLESS = 3 };

/* Status bits: IPS_EXPECTED, IPS_CONFIRMED, IPS_DYING. */
#define EXPECTED (1 << 0)
#define SNAT_DONE_BIT 7
#define DNAT_DONE_BIT 8
#define ALIVE (1 << 3)
#define ALIVE_MASK (1 << 3 | 1 << 9)

/* How many chains are fetched at once, and how far. */
#define CHAINS 128
#define DEPTH 6

struct front;

struct walk {
	struct request *r;
	u8 *out;
	struct front *front;
};

/* look reads the table's address and size from where the kernel keeps them. */
static always_inline int look(struct request *r)
{
	u64 task = bpf_get_current_task();
	u64 proxy = 0, net = 0;

	if (!r->net) {
		if (field(proxy, task, struct task_struct, nsproxy) || field(net, proxy, struct nsproxy, net_ns))
			return -1;
		r->net = net;
	}
	r->hash = word(r->hash_at);
	r->size = word(r->size_at);
	return r->hash && r->net ? 0 : -1;
}

/*
 * locate follows the caller's open file to the state of its iteration, where the
 * kernel has just put the address and size of the table.
 */
static always_inline int locate(struct request *r)
{
	u64 task = bpf_get_current_task();
	u64 files = 0, fdt = 0, fds = 0, file = 0, seq = 0, iter = 0, hash = 0, net = 0;
	u32 size = 0;

	if (field(files, task, struct task_struct, files) ||
	    field(fdt, files, struct files_struct, fdt) ||
	    field(fds, fdt, struct fdtable, fd) ||
	    bpf_probe_read_kernel(&file, sizeof(file), (void *)(fds + 8 * (u64)r->fd)) ||
	    field(seq, file, struct file, private_data) ||
	    field(iter, seq, struct seq_file, private) ||
	    field(hash, iter, struct ct_iter_state, hash) ||
	    field(size, iter, struct ct_iter_state, htable_size) ||
	    field(net, iter, struct ct_iter_state, p.net))
		return -1;
	r->hash = hash;
	r->size = size;
	r->net = net;
	return hash ? 0 : -1;
}

/* dir is the direction of a node, read with the aligned word it lies in: that crosses no cache line. */
static always_inline u64 dir(u64 node)
{
	const u64 at = offset_of(struct nf_conntrack_tuple, dst.dir);

	return word(node + NODE + (at & ~7ULL)) >> 8 * (at & 7) & 0xff;
}

/* differs compares the tuple of a node. */
static always_inline int differs(u64 node, const struct match *m)
{
	u64 d = 0;

#pragma unroll
	for (int i = 0; i < TUPLE_WORDS; i++)
		d |= (word(node + NODE + 8 * i) ^ m->value[i]) & m->mask[i];
	return d != 0;
}

/* unlike tells whether the ends of two tuples differ: 16 bytes of address, 2 of port. */
static always_inline u64 unlike(const u8 *a, const u8 *b)
{
	u32 d = *(u16 *)(a + 16) ^ *(u16 *)(b + 16);

#pragma unroll
	for (int i = 0; i < 16; i += 4)
		d |= *(u32 *)(a + i) ^ *(u32 *)(b + i);
	return d != 0;
}

/* untranslated is 0 if what the NAT hooks have made of the entry is what flags ask for. */
static always_inline u64 untranslated(const u8 *orig, const u8 *reply, u64 status, u32 flags)
{
	u64 snat = unlike(orig, reply + TUPLE_DST) & status >> SNAT_DONE_BIT;
	u64 dnat = unlike(orig + TUPLE_DST, reply) & status >> DNAT_DONE_BIT;
	u64 is = snat * WITH_SNAT | dnat * WITH_DNAT | (snat | dnat) * WITH_NAT;

	return flags & WITH_ANY_NAT & ~is;
}

/*
 * copy appends the entry whose original node is given, if it is alive and selected. Entries
 * are recycled without a grace period, so what was read may stem from two lives: the copy
 * counts only if the tuples, the namespace, the status and the reference count are found
 * unchanged after everything has been read.
 */
static always_inline void copy(struct walk *w, u64 node)
{
	struct request *r = w->r;
	u64 ct = node - offset_of(struct nf_conn, tuplehash);
	u32 at = r->length, conn = size_of_type(struct nf_conn);
	u64 status, ext, net, master;
	u32 timeout;

	/* Of a table that is mostly other namespaces', nothing else is read. */
	if (word(ct + offset_of(struct nf_conn, ct_net)) ^ r->net)
		return;
	if (at > BUFFER_SIZE - sizeof(struct record) - MAX_CONN - MAX_EXT)
		return;
	struct record *rec = (void *)(w->out + at);
	u8 *c = (void *)(rec + 1);

	if (conn > MAX_CONN)
		conn = MAX_CONN;
	/* Whatever speaks against the entry ends up in no, so that there is one branch: the
	 * verifier follows every combination. */
	u64 no = bpf_probe_read_kernel(c, conn, (void *)ct);
	net = *(u64 *)(c + offset_of(struct nf_conn, ct_net));
	no |= net ^ r->net;
	status = *(u64 *)(c + offset_of(struct nf_conn, status));
	no |= (status & ALIVE_MASK) ^ ALIVE;
	no |= (status & r->status_mask) ^ r->status;
	timeout = *(u32 *)(c + offset_of(struct nf_conn, timeout));
	no |= (timeout - (u32)r->jiffies - 1) >> 31; /* expired */
	if (has_field(struct nf_conn, mark))
		no |= (*(u32 *)(c + offset_of(struct nf_conn, mark)) & r->mark_mask) ^ r->mark;
	if (has_field(struct nf_conn, zone))
		no |= (*(u16 *)(c + offset_of(struct nf_conn, zone.id)) & r->zone_mask) ^ r->zone;
	no |= (*(c + offset_of(struct nf_conn, proto.tcp.state)) & r->state_mask) ^ r->state;
	if (r->flags & WITH_ANY_NAT)
		no |= untranslated(c + offset_of(struct nf_conn, tuplehash[0].tuple),
				   c + offset_of(struct nf_conn, tuplehash[1].tuple), status, r->flags);
	if (no)
		return;

	rec->ct = ct;
	rec->bucket = r->bucket;
	rec->conn = conn;
	rec->ext = 0;
	rec->helper[0] = 0;

	u32 length = sizeof(*rec) + ((conn + 7) & ~7U);
	ext = *(u64 *)(c + offset_of(struct nf_conn, ext));
	if ((r->flags & WITH_EXT) && ext) {
		u8 *x = (void *)rec + length;
		u8 size = word(ext + offset_of(struct nf_ct_ext, len));

		no |= bpf_probe_read_kernel(x, size, (void *)ext);
		rec->ext = size;
		length += (size + 7) & ~7U;

		u8 help = x[offset_of(struct nf_ct_ext, offset) + extension_id(NF_CT_EXT_HELPER)];
		if (help) {
			u64 helper = word(ext + help + offset_of(struct nf_conn_help, helper));
			if (helper)
				bpf_probe_read_kernel(rec->helper, sizeof(rec->helper),
						      (void *)helper + offset_of(struct nf_conntrack_helper, name));
		}
	}
	master = *(u64 *)(c + offset_of(struct nf_conn, master));
	/* An expected entry holds a reference to its master. */
	if (status & EXPECTED)
		no |= bpf_probe_read_kernel(rec->master, TUPLE,
					    (void *)master + offset_of(struct nf_conn, tuplehash[0].tuple));

	/* Full barrier: what follows must be read after what is above. */
	u64 barrier = 0;
	no |= __sync_fetch_and_or(&barrier, 1);
	u64 *was = (void *)(c + offset_of(struct nf_conn, tuplehash));
#pragma unroll
	for (int i = 0; i < TUPLE_WORDS; i++) {
		no |= word(node + NODE + 8 * i) ^ was[NODE / 8 + i];
		no |= word(node + TUPLE_HASH + NODE + 8 * i) ^ was[(TUPLE_HASH + NODE) / 8 + i];
	}
	no |= (word(ct + offset_of(struct nf_conn, status)) & ALIVE_MASK) ^ ALIVE;
	no |= word(ct + offset_of(struct nf_conn, ct_net)) ^ net;
	u32 use = word(ct + offset_of(struct nf_conn, ct_general.use));
	no |= (use - 1) >> 31; /* 0, or saturated */
	if (no)
		return;

	r->length = at + length;
}

/* Hides from the compiler what x is, lest it make a branch of it, or leave its reading out. */
#define opaque(x) asm volatile("" : "+r"(x) : : "memory")

static always_inline void touch(u64 address)
{
	u64 x = word(address);

	opaque(x);
}

/* is_zero is all ones if x, which is below 1 << 63, is 0. */
static always_inline u64 is_zero(s64 x)
{
	x -= 1;
	opaque(x);
	x >>= 63;
	opaque(x);
	return x;
}

/*
 * Nearly every entry is a miss in all caches, and a processor waits for a dozen at once if none depends
 * on another and if it need not guess what to do next. So before some chains are walked, passes
 * over all of them read from every cache line that will be needed, with no branch that
 * depends on what is being read. What has no room is fetched when its turn comes.
 */
struct front {
	u64 node[CHAINS]; /* at the same depth of all chains that are so long */
	u64 orig[2 * CHAINS]; /* original nodes met */
	u64 heads;
	u32 nodes, origs;
	u32 was; /* nodes of the depth before */
};

struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	u32 *key;
	struct front *value;
	int (*max_entries)[4]; /* set when loaded */
} fronts SEC(".maps");

/* To call a function costs about as much as to wait for memory, so each call sees to several; of more than these the
 * verifier takes longer than they gain. Beyond the last are addresses from before: to touch what is there does no
 * harm, but it must not be followed. */
#define PER_CALL 4
#define calls(n) (((n) + PER_CALL - 1) / PER_CALL)
#define for_each_of_call(i, call) \
	_Pragma("unroll") for (u32 k = 0, i = (call) * PER_CALL; k < PER_CALL; k++, i++)

/* below is 1 if i < n, else 0, without a branch. */
static always_inline u64 below(u32 i, u32 n)
{
	return ((u64)i - n) >> 63;
}

/* advance puts the next node of a chain into the front, if there is one and if it is wanted. */
static always_inline void advance(struct front *f, u64 next, u64 wanted)
{
	f->node[f->nodes % CHAINS] = next;
	f->nodes += ~next & wanted;
}

static long fetch_head(u32 i, struct front **front)
{
	struct front *f = *front;

	for_each_of_call(j, i)
		advance(f, word(f->heads + 8 * (u64)j), below(j, f->was));
	return 0;
}

static long fetch_node(u32 i, struct front **front)
{
	struct front *f = *front;

	for_each_of_call(j, i)
		touch(f->node[j % CHAINS]);
	return 0;
}

/* follow_node is apart from fetch_node because where it stores depends on what it reads, and loads wait
 * for stores whose place is not known. */
static long follow_node(u32 i, struct front **front)
{
	struct front *f = *front;

	for_each_of_call(j, i) {
		u64 node = f->node[j % CHAINS], wanted = below(j, f->was);

		/* Entries begin with a cache line, so the address tells the direction. If they did not, this
		 * would be slow and not wrong. */
		f->orig[f->origs % (2 * CHAINS)] = node;
		f->origs += is_zero((node ^ offset_of(struct nf_conn, tuplehash)) & 63) & wanted;
		advance(f, word(node), wanted);
	}
	return 0;
}

/* original is the entry of an original node met. */
static always_inline u64 original(const struct front *f, u32 i)
{
	return f->orig[i % (2 * CHAINS)] - offset_of(struct nf_conn, tuplehash);
}

static long fetch_tuples(u32 i, struct front **front)
{
	for_each_of_call(j, i)
		touch(original(*front, j) + 64);
	return 0;
}

static long fetch_entry(u32 i, struct front **front)
{
	for_each_of_call(j, i) {
		u64 ct = original(*front, j);

		touch(ct + 64);
		touch(ct + 128);
		touch(ct + 192);
	}
	return 0;
}

static long fetch_extensions(u32 i, struct front **front)
{
	for_each_of_call(j, i) {
		u64 ct = original(*front, j);
		u64 ext = word(ct + offset_of(struct nf_conn, ext));

		touch(ext | (is_zero(ext >> 1) & ct));
	}
	return 0;
}

static always_inline void fetch(struct request *r, struct front *f)
{
	u32 chains = r->end - r->bucket;

	if (chains > CHAINS)
		chains = CHAINS;
	f->heads = r->hash + 8 * (u64)r->bucket;
	f->was = chains;
	f->nodes = 0;
	f->origs = 0;
	bpf_loop(calls(chains), fetch_head, &f, 0);
	for (int depth = 0; depth < DEPTH; depth++) {
		f->was = f->nodes;
		bpf_loop(calls(f->was), fetch_node, &f, 0);
		f->nodes = 0;
		bpf_loop(calls(f->was), follow_node, &f, 0);
	}
	u32 origs = f->origs % (2 * CHAINS);
	if (r->flags & WITH_TUPLES) {
		bpf_loop(calls(origs), fetch_tuples, &f, 0);
		return;
	}
	bpf_loop(calls(origs), fetch_entry, &f, 0);
	bpf_loop(calls(origs), fetch_extensions, &f, 0);
}

/* step looks at the head of a bucket or at one node of its chain. */
static long step(u32 i, struct walk *w)
{
	struct request *r = w->r;
	u64 node = r->node;

	if (!node) {
		if (r->bucket >= r->end || r->length > ENOUGH)
			return 1;
		u64 head = r->hash + 8 * (u64)r->bucket;
		if (r->bucket % CHAINS == 0)
			fetch(r, w->front);
		node = word(head);
		r->begun = r->length;
	} else {
		if (r->length > BUFFER_SIZE - sizeof(struct record) - MAX_CONN - MAX_EXT) {
			/* This chain does not fit: no real one is so long. */
			r->error = RESTLESS;
			return 1;
		}
		u64 no = dir(node);
		if (r->flags & WITH_ORIG)
			no |= differs(node, &r->orig);
		if (r->flags & WITH_REPLY)
			no |= differs(node + TUPLE_HASH, &r->reply);
		if (!no)
			copy(w, node);
		node = word(node);
	}

	if (!node) {
		r->error = FAULT; /* a chain ends with a mark, never with 0 */
		return 1;
	}
	if (!(node & 1)) {
		r->node = node;
		return 0;
	}
	/* The end of a chain tells which one it is: an entry that was recycled while we
	 * stood on it has led us into another. */
	r->node = 0;
	if (node >> 1 == r->bucket) {
		r->bucket++;
		r->tries = 0;
		return 0;
	}
	r->length = r->begun;
	r->retried++;
	if (++r->tries > 100) {
		r->error = RESTLESS;
		return 1;
	}
	return 0;
}

SEC("syscall")
int walk(struct request *r)
{
	u32 key = r->buffer;
	struct walk w = { .r = r };

	r->error = 0;
	r->length = 0;
	r->node = 0;
	r->tries = 0;
	w.out = bpf_map_lookup_elem(&buffers, &key);
	w.front = bpf_map_lookup_elem(&fronts, &key);
	if (!w.out || !w.front)
		return 0;
	if (r->hash_at ? look(r) : locate(r)) {
		r->error = NO_TABLE;
		return 0;
	}
	r->jiffies = bpf_jiffies64();
	r->now = bpf_ktime_get_ns();
	if (r->bucket >= r->end)
		return 0;
	bpf_rcu_read_lock();
	bpf_loop(1 << 23, step, &w, 0);
	bpf_rcu_read_unlock();
	if (r->node) /* in the middle of a chain */
		r->length = r->begun;
	return 0;
}

/* Where things are; struct layout in layout.go. 0xffff: not in this kernel. */
struct layout {
	u16 conn_size, tuple_size, hash_size, orig, reply, status, net, timeout, use, mark, secmark, zone, zone_dir;
	u16 master, ext, tcp_state, tcp_seen, tcp_seen_size, tcp_scale, tcp_flags, sctp_state, sctp_vtag,
		dccp_role, dccp_state, dccp_seq;
	u16 ext_offset, ext_len;
	u16 seqadj, acct, tstamp, labels, synproxy;
};

#define ABSENT 0xffff
#define where(type, name) (has_field(type, name) ? offset_of(type, name) : ABSENT)
#define extension(name) (has_extension(name) ? extension_id(name) : ABSENT)

SEC("syscall")
int layout(struct layout *l)
{
	l->conn_size = size_of_type(struct nf_conn);
	l->tuple_size = size_of_type(struct nf_conntrack_tuple);
	l->hash_size = size_of_type(struct nf_conntrack_tuple_hash);
	l->orig = offset_of(struct nf_conn, tuplehash[0].tuple);
	l->reply = offset_of(struct nf_conn, tuplehash[1].tuple);
	l->status = offset_of(struct nf_conn, status);
	l->net = offset_of(struct nf_conn, ct_net);
	l->timeout = offset_of(struct nf_conn, timeout);
	l->use = offset_of(struct nf_conn, ct_general.use);
	l->mark = where(struct nf_conn, mark);
	l->secmark = where(struct nf_conn, secmark);
	l->zone = where(struct nf_conn, zone.id);
	l->zone_dir = where(struct nf_conn, zone.dir);
	l->master = offset_of(struct nf_conn, master);
	l->ext = offset_of(struct nf_conn, ext);
	l->tcp_state = offset_of(struct nf_conn, proto.tcp.state);
	l->tcp_seen = offset_of(struct nf_conn, proto.tcp.seen);
	l->tcp_seen_size = size_of_type(struct ip_ct_tcp_state);
	l->tcp_scale = offset_of(struct ip_ct_tcp_state, td_scale);
	l->tcp_flags = offset_of(struct ip_ct_tcp_state, flags);
	l->sctp_state = where(struct nf_conn, proto.sctp.state);
	l->sctp_vtag = where(struct nf_conn, proto.sctp.vtag);
	l->dccp_role = where(struct nf_conn, proto.dccp.role);
	l->dccp_state = where(struct nf_conn, proto.dccp.state);
	l->dccp_seq = where(struct nf_conn, proto.dccp.handshake_seq);
	l->ext_offset = offset_of(struct nf_ct_ext, offset);
	l->ext_len = offset_of(struct nf_ct_ext, len);
	l->seqadj = extension(NF_CT_EXT_SEQADJ);
	l->acct = extension(NF_CT_EXT_ACCT);
	l->tstamp = extension(NF_CT_EXT_TSTAMP);
	l->labels = extension(NF_CT_EXT_LABELS);
	l->synproxy = extension(NF_CT_EXT_SYNPROXY);
	return 0;
}

/* peek copies 256 bytes of the kernel, of which user space works out the key of identifiers. */
struct peek {
	u64 address;
	u64 fault;
	u64 data[32];
};

SEC("syscall")
int peek(struct peek *p)
{
	u64 data[32];

	p->fault = bpf_probe_read_kernel(data, sizeof(data), (void *)p->address);
#pragma unroll
	for (int i = 0; i < 32; i++)
		p->data[i] = data[i];
	return 0;
}
