/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the program needs to know of the kernel: only the fields it names, found by
 * CO-RE in the running kernel's own types, and the few helpers it calls.
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define always_inline inline __attribute__((always_inline))

/* BPF helpers, by the numbers of include/uapi/linux/bpf.h. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static u64 (*const bpf_get_current_task)(void) = (void *)35;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static u64 (*const bpf_jiffies64)(void) = (void *)118;
static long (*const bpf_loop)(u32 n, void *step, void *ctx, u64 flags) = (void *)181;

extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms")));
extern void bpf_rcu_read_unlock(void) __attribute__((section(".ksyms")));

extern void *bpf_rdonly_cast(const void *object, u32 type) __attribute__((section(".ksyms")));

/*
 * word reads eight bytes of the kernel with one instruction; where there is no memory it reads 0.
 * The verifier wants to know the type of what is read, and struct timespec64 begins with
 * a plain number of eight bytes in every kernel. What number the type has is put in when the
 * program is loaded.
 */
#define TIMESPEC64 0x7a7e57ec
struct timespec64 {
	s64 tv_sec;
};
#define word(address) (((struct timespec64 *)bpf_rdonly_cast((void *)(address), TIMESPEC64))->tv_sec)

#define BPF_MAP_TYPE_ARRAY 2
#define BPF_F_MMAPABLE (1U << 10)

/* CO-RE: the compiler leaves these to the loader. */
#define offset_of(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)
#define size_of(type, field) __builtin_preserve_field_info(((type *)0)->field, 1)
#define has_field(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
#define size_of_type(type) __builtin_preserve_type_info(*(type *)0, 1)
#define extension_id(name) __builtin_preserve_enum_value(*(enum nf_ct_ext_id *)name, 1)
#define has_extension(name) __builtin_preserve_enum_value(*(enum nf_ct_ext_id *)name, 0)

/* field reads a pointer-sized or smaller field of a kernel object. */
#define field(to, object, type, name) \
	bpf_probe_read_kernel(&(to), sizeof(to), (void *)(object) + offset_of(type, name))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct file {
	void *private_data;
};
struct fdtable {
	struct file **fd;
};
struct files_struct {
	struct fdtable *fdt;
};
struct net;
struct nsproxy {
	struct net *net_ns;
};
struct task_struct {
	struct files_struct *files;
	struct nsproxy *nsproxy;
};
struct seq_file {
	void *private;
};
struct seq_net_private {
	struct net *net;
};
struct ct_iter_state {
	struct seq_net_private p;
	void *hash;
	unsigned int htable_size;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct nf_conntrack {
	struct { s32 refs; } use;
};
struct hlist_nulls_node {
	struct hlist_nulls_node *next;
};
struct nf_conntrack_man {
	u16 l3num;
};
struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		u8 protonum;
		u8 dir;
	} dst;
};
struct nf_conntrack_tuple_hash {
	struct hlist_nulls_node hnnode;
	struct nf_conntrack_tuple tuple;
};
struct nf_conntrack_zone {
	u16 id;
	u8 flags;
	u8 dir;
};
struct ip_ct_tcp_state {
	u8 td_scale;
	u8 flags;
};
struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2];
	u8 state;
};
enum sctp_conntrack { SCTP_CONNTRACK_NONE };
struct ip_ct_sctp {
	enum sctp_conntrack state;
	u32 vtag[2];
};
struct nf_ct_dccp {
	u8 role[2];
	u8 state;
	u64 handshake_seq;
};
union nf_conntrack_proto {
	struct nf_ct_dccp dccp; /* until Linux 6.16 */
	struct ip_ct_sctp sctp;
	struct ip_ct_tcp tcp;
};
struct nf_conn {
	struct nf_conntrack ct_general;
	u32 timeout;
	struct nf_conntrack_zone zone;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	possible_net_t ct_net;
	struct nf_conn *master;
	u32 mark;
	u32 secmark;
	struct nf_ct_ext *ext;
	union nf_conntrack_proto proto;
};

struct nf_ct_ext {
	u8 offset[9];
	u8 len;
};
struct nf_conntrack_helper {
	char name[16];
};
struct nf_conn_help {
	struct nf_conntrack_helper *helper;
};

#pragma clang attribute pop

/* The numbers are placeholders: the kernel's own are put in when the program is loaded. */
enum nf_ct_ext_id {
	NF_CT_EXT_HELPER,
	NF_CT_EXT_NAT,
	NF_CT_EXT_SEQADJ,
	NF_CT_EXT_ACCT,
	NF_CT_EXT_ECACHE,
	NF_CT_EXT_TSTAMP,
	NF_CT_EXT_TIMEOUT,
	NF_CT_EXT_LABELS,
	NF_CT_EXT_SYNPROXY,
};
