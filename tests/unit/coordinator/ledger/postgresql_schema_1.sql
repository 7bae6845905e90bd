-- A PostgreSQL ledger of schema 1 of that store, as the programs with this schema wrote it (dumped by pg_dump
-- --inserts --no-owner --no-privileges, without comments and settings): the ledger of schema_3.sql, copied by
-- dicom-ledger.
CREATE TABLE public.ignored (
    session bigint NOT NULL,
    indexer bytea NOT NULL,
    reason text NOT NULL COLLATE pg_catalog."C",
    files bigint NOT NULL
);
CREATE TABLE public.instance (
    study bigint NOT NULL,
    size bigint NOT NULL,
    mtime bigint NOT NULL,
    data_offset bigint NOT NULL,
    duration_us bigint DEFAULT 0 NOT NULL,
    outcome_ms bigint,
    idx integer NOT NULL,
    root integer NOT NULL,
    pair integer NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    status integer,
    state smallint NOT NULL,
    may_be_stored smallint DEFAULT 0 NOT NULL,
    defect smallint DEFAULT 0 NOT NULL,
    sop_instance text NOT NULL,
    path bytea NOT NULL,
    reason text
)
WITH (fillfactor='70');
CREATE TABLE public.lease (
    id bigint NOT NULL,
    study bigint NOT NULL,
    worker text NOT NULL,
    last_report_seq bigint DEFAULT 0 NOT NULL,
    associations bigint DEFAULT 0 NOT NULL
)
WITH (fillfactor='70');
CREATE TABLE public.pair (
    id integer NOT NULL,
    sop_class text NOT NULL COLLATE pg_catalog."C",
    transfer_syntax text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.root (
    id integer NOT NULL,
    session bigint NOT NULL,
    path bytea NOT NULL
);
CREATE TABLE public.session (
    key bigint NOT NULL,
    uuid text NOT NULL COLLATE pg_catalog."C",
    settings bytea NOT NULL,
    state smallint NOT NULL,
    end_reason text DEFAULT ''::text NOT NULL,
    scan_complete smallint DEFAULT 0 NOT NULL,
    start_ms bigint NOT NULL,
    end_ms bigint,
    studies bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    stored bigint DEFAULT 0 NOT NULL,
    warned bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    abandoned bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    conflicts bigint DEFAULT 0 NOT NULL,
    retries bigint DEFAULT 0 NOT NULL,
    resends bigint DEFAULT 0 NOT NULL,
    total_bytes bigint DEFAULT 0 NOT NULL,
    stored_bytes bigint DEFAULT 0 NOT NULL,
    settled_bytes bigint DEFAULT 0 NOT NULL,
    store_us bigint DEFAULT 0 NOT NULL,
    associations bigint DEFAULT 0 NOT NULL,
    ending smallint,
    called_ae text DEFAULT ''::text NOT NULL,
    calling_ae text DEFAULT ''::text NOT NULL,
    host text DEFAULT ''::text NOT NULL,
    port integer DEFAULT 0 NOT NULL
)
WITH (fillfactor='50');
CREATE TABLE public.study (
    key bigint NOT NULL,
    session bigint NOT NULL,
    uid text NOT NULL COLLATE pg_catalog."C",
    lease bigint DEFAULT 0 NOT NULL,
    page_end bigint DEFAULT 0 NOT NULL,
    suspect_end bigint DEFAULT 0 NOT NULL,
    first_lease_ms bigint,
    last_outcome_ms bigint,
    total bigint DEFAULT 0 NOT NULL,
    stored bigint DEFAULT 0 NOT NULL,
    warned bigint DEFAULT 0 NOT NULL,
    failed bigint DEFAULT 0 NOT NULL,
    abandoned bigint DEFAULT 0 NOT NULL,
    skipped bigint DEFAULT 0 NOT NULL,
    conflicts bigint DEFAULT 0 NOT NULL,
    retries bigint DEFAULT 0 NOT NULL,
    resends bigint DEFAULT 0 NOT NULL,
    total_bytes bigint DEFAULT 0 NOT NULL,
    stored_bytes bigint DEFAULT 0 NOT NULL,
    settled_bytes bigint DEFAULT 0 NOT NULL,
    store_us bigint DEFAULT 0 NOT NULL,
    associations bigint DEFAULT 0 NOT NULL,
    accession_number text
)
WITH (fillfactor='70');
CREATE VIEW public.instances AS
 SELECT s.uuid AS session,
    t.uid AS study_instance_uid,
    t.accession_number,
    i.sop_instance AS sop_instance_uid,
    p.sop_class AS sop_class_uid,
    p.transfer_syntax AS transfer_syntax_uid,
        CASE
            WHEN (encode(
            CASE
                WHEN ((length(r.path) = 0) OR (substr(r.path, length(r.path)) = '\x2f'::bytea)) THEN (r.path || i.path)
                ELSE ((r.path || '\x2f'::bytea) || i.path)
            END, 'hex'::text) ~ '^(?:0[1-9a-f]|[1-7].|(?:c[2-9a-f]|d.|e0[ab].|ed[89].|(?:e[1-9abcef]|f0[9ab].|f[1-3][89ab].|f48.)[89ab].)[89ab].)*$'::text) THEN convert_from(
            CASE
                WHEN ((length(r.path) = 0) OR (substr(r.path, length(r.path)) = '\x2f'::bytea)) THEN (r.path || i.path)
                ELSE ((r.path || '\x2f'::bytea) || i.path)
            END, 'UTF8'::name)
            ELSE encode(
            CASE
                WHEN ((length(r.path) = 0) OR (substr(r.path, length(r.path)) = '\x2f'::bytea)) THEN (r.path || i.path)
                ELSE ((r.path || '\x2f'::bytea) || i.path)
            END, 'escape'::text)
        END AS path,
    i.size AS size_bytes,
        CASE i.state
            WHEN 0 THEN 'pending'::text
            WHEN 1 THEN 'delayed'::text
            WHEN 2 THEN 'stored'::text
            WHEN 3 THEN 'stored_with_warning'::text
            WHEN 4 THEN 'failed'::text
            WHEN 5 THEN 'skipped'::text
            WHEN 6 THEN 'abandoned'::text
            ELSE NULL::text
        END AS state,
    upper(lpad(to_hex(i.status), 4, '0'::text)) AS status,
        CASE
            WHEN (i.status IS NULL) THEN NULL::text
            WHEN (i.status = 0) THEN 'success'::text
            WHEN (i.status = 1) THEN 'requested optional attributes are not supported'::text
            WHEN (i.status = 261) THEN 'no such attribute'::text
            WHEN (i.status = 262) THEN 'invalid attribute value'::text
            WHEN (i.status = 263) THEN 'attribute list error'::text
            WHEN (i.status = 272) THEN 'processing failure'::text
            WHEN (i.status = 273) THEN 'duplicate SOP instance'::text
            WHEN (i.status = 274) THEN 'no such SOP instance'::text
            WHEN (i.status = 277) THEN 'invalid argument value'::text
            WHEN (i.status = 278) THEN 'attribute value out of range'::text
            WHEN (i.status = 279) THEN 'invalid SOP instance'::text
            WHEN (i.status = 280) THEN 'no such SOP class'::text
            WHEN (i.status = 281) THEN 'class-instance conflict'::text
            WHEN (i.status = 290) THEN 'SOP class not supported'::text
            WHEN (i.status = 292) THEN 'not authorized'::text
            WHEN (i.status = 528) THEN 'duplicate invocation'::text
            WHEN (i.status = 529) THEN 'unrecognized operation'::text
            WHEN (i.status = 530) THEN 'mistyped argument'::text
            WHEN (i.status = 531) THEN 'resource limitation'::text
            WHEN (i.status = 45056) THEN 'coercion of data elements'::text
            WHEN (i.status = 45062) THEN 'elements discarded'::text
            WHEN (i.status = 45063) THEN 'data set does not match SOP class'::text
            WHEN (i.status = 65024) THEN 'cancelled'::text
            WHEN ((i.status >= 65280) AND (i.status <= 65281)) THEN 'pending, which is no answer to a C-STORE'::text
            WHEN ((i.status >= 42752) AND (i.status <= 43007)) THEN 'out of resources'::text
            WHEN ((i.status >= 43264) AND (i.status <= 43519)) THEN 'data set does not match SOP class'::text
            WHEN ((i.status >= 45056) AND (i.status <= 49151)) THEN 'warning'::text
            WHEN ((i.status >= 49152) AND (i.status <= 53247)) THEN 'cannot understand'::text
            WHEN ((i.status >= 0) AND (i.status <= 65535)) THEN 'unknown status'::text
            ELSE NULL::text
        END AS status_meaning,
    i.reason,
    i.attempts,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((i.outcome_ms)::double precision * '00:00:00.001'::interval)) AS outcome_time,
    i.duration_us,
    (i.may_be_stored <> 0) AS may_be_stored,
        CASE
            WHEN ((i.state = ANY (ARRAY[0, 1])) AND (i.idx < t.page_end)) THEN l.worker
            ELSE NULL::text
        END AS worker
   FROM (((((public.instance i
     JOIN public.study t ON ((t.key = i.study)))
     JOIN public.session s ON ((s.key = t.session)))
     JOIN public.root r ON ((r.id = i.root)))
     JOIN public.pair p ON ((p.id = i.pair)))
     LEFT JOIN public.lease l ON ((l.id = t.lease)));
CREATE TABLE public.known (
    session bigint NOT NULL,
    hash bigint NOT NULL,
    study bigint NOT NULL,
    idx integer NOT NULL
);
CREATE TABLE public.leadership (
    epoch bigint NOT NULL,
    leader text NOT NULL,
    renewals bigint NOT NULL,
    leader_timeout_ms bigint NOT NULL,
    place smallint DEFAULT 0 NOT NULL,
    CONSTRAINT leadership_place_check CHECK ((place = 0))
)
WITH (fillfactor='10');
CREATE VIEW public.leases AS
 SELECT l.id AS lease,
    s.uuid AS session,
    t.uid AS study_instance_uid,
    l.worker,
    (t.lease = l.id) AS in_force,
    l.associations
   FROM ((public.lease l
     JOIN public.study t ON ((t.key = l.study)))
     JOIN public.session s ON ((s.key = t.session)));
CREATE TABLE public.ledger_schema (
    version integer NOT NULL
);
ALTER TABLE public.pair ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.pair_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
ALTER TABLE public.root ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.root_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.scan (
    session bigint NOT NULL,
    indexer bytea NOT NULL,
    number bigint NOT NULL,
    complete smallint NOT NULL
);
ALTER TABLE public.session ALTER COLUMN key ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.session_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.session_worker (
    session bigint NOT NULL,
    worker text NOT NULL COLLATE pg_catalog."C",
    threads bigint NOT NULL
);
CREATE VIEW public.sessions AS
 SELECT s.uuid AS session,
        CASE s.state
            WHEN 0 THEN 'scanning'::text
            WHEN 1 THEN 'sending'::text
            WHEN 2 THEN 'complete'::text
            WHEN 3 THEN 'unreachable'::text
            WHEN 4 THEN 'refused'::text
            WHEN 5 THEN 'suspended'::text
            WHEN 6 THEN 'cancelled'::text
            ELSE NULL::text
        END AS state,
        CASE s.ending
            WHEN 0 THEN 'scanning'::text
            WHEN 1 THEN 'sending'::text
            WHEN 2 THEN 'complete'::text
            WHEN 3 THEN 'unreachable'::text
            WHEN 4 THEN 'refused'::text
            WHEN 5 THEN 'suspended'::text
            WHEN 6 THEN 'cancelled'::text
            ELSE NULL::text
        END AS ending,
    s.called_ae,
    s.calling_ae,
    s.host,
    s.port,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((s.start_ms)::double precision * '00:00:00.001'::interval)) AS start_time,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((s.end_ms)::double precision * '00:00:00.001'::interval)) AS end_time,
    s.end_reason,
    (s.scan_complete <> 0) AS scan_complete,
    s.studies,
    s.total AS instances,
    s.stored,
    s.warned AS stored_with_warning,
    (s.failed - s.abandoned) AS failed,
    s.abandoned,
    s.skipped,
    ((((s.total - s.stored) - s.warned) - s.failed) - s.skipped) AS unsettled,
    s.conflicts,
    s.retries,
    s.resends,
    s.associations,
    s.total_bytes,
    s.stored_bytes,
    s.store_us
   FROM public.session s;
CREATE VIEW public.studies AS
 SELECT s.uuid AS session,
    t.uid AS study_instance_uid,
    t.accession_number,
        CASE
            WHEN (t.lease > 0) THEN 'sending'::text
            WHEN (t.total > (((t.stored + t.warned) + t.failed) + t.skipped)) THEN 'waiting'::text
            WHEN (t.failed > 0) THEN 'incomplete'::text
            ELSE 'complete'::text
        END AS state,
    l.worker,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((t.first_lease_ms)::double precision * '00:00:00.001'::interval)) AS first_lease_time,
    ('1970-01-01 00:00:00+00'::timestamp with time zone + ((t.last_outcome_ms)::double precision * '00:00:00.001'::interval)) AS last_outcome_time,
    t.total AS instances,
    t.stored,
    t.warned AS stored_with_warning,
    (t.failed - t.abandoned) AS failed,
    t.abandoned,
    t.skipped,
    ((((t.total - t.stored) - t.warned) - t.failed) - t.skipped) AS unsettled,
    t.conflicts,
    t.retries,
    t.resends,
    t.associations,
    t.total_bytes,
    t.stored_bytes,
    t.store_us
   FROM ((public.study t
     JOIN public.session s ON ((s.key = t.session)))
     LEFT JOIN public.lease l ON ((l.id = t.lease)));
ALTER TABLE public.study ALTER COLUMN key ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.study_key_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.study_pair (
    study bigint NOT NULL,
    pair integer NOT NULL
);
INSERT INTO public.ignored VALUES (1, '\x', 'empty', 1);
INSERT INTO public.ignored VALUES (1, '\x', 'not_dicom', 3);
INSERT INTO public.ignored VALUES (3, '\x', 'dicomdir', 1);
INSERT INTO public.instance VALUES (1, 1000, 1700000000123456789, 330, 500, 1700000002000, 0, 1, 1, 1, NULL, 2, 0, 0, '1.2.1.0', '\x612f30', NULL);
INSERT INTO public.instance VALUES (1, 1001, 1700000000123456789, 330, 500, 1700000002000, 1, 1, 1, 1, 45056, 3, 0, 0, '1.2.1.1', '\x612f31', 'coercion of data elements');
INSERT INTO public.instance VALUES (1, 1002, 1700000000123456789, 330, 0, 1700000002000, 2, 1, 1, 1, 49152, 4, 0, 0, '1.2.1.2', '\x612f32', 'cannot understand');
INSERT INTO public.instance VALUES (1, 1003, 1700000000123456789, 330, 0, NULL, 3, 1, 1, 1, 42752, 1, 0, 0, '1.2.1.3', '\x612f33', 'out of resources');
INSERT INTO public.instance VALUES (1, 1004, 1700000000123456789, 330, 0, NULL, 4, 1, 1, 0, NULL, 0, 0, 0, '1.2.1.4', '\x612f34', NULL);
INSERT INTO public.instance VALUES (1, 1000, 1700000000123456789, 330, 0, NULL, 5, 1, 1, 0, NULL, 5, 0, 0, '1.2.1.0', '\x612f35', 'duplicate of /data/a/0');
INSERT INTO public.instance VALUES (1, 7, 1700000000123456789, 330, 0, NULL, 6, 1, 1, 0, NULL, 5, 0, 0, '1.2.1.1', '\x612f36', 'same SOP Instance UID but another size: conflict of /data/a/1');
INSERT INTO public.instance VALUES (1, 1007, 1700000000123456789, 330, 0, NULL, 7, 1, 1, 0, NULL, 4, 0, 1, '', '\x612f37', 'no SOP Instance UID');
INSERT INTO public.instance VALUES (2, 1000, 1700000000123456789, 330, 500, NULL, 0, 1, 1, 1, NULL, 2, 0, 0, '1.2.2.0', '\x622f30', NULL);
INSERT INTO public.instance VALUES (2, 1000, 1700000000123456789, 330, 0, NULL, 1, 1, 1, 0, NULL, 0, 0, 0, '1.2.2.1', '\x622f31', NULL);
INSERT INTO public.instance VALUES (2, 1000, 1700000000123456789, 330, 0, NULL, 2, 1, 1, 0, NULL, 0, 0, 0, '1.2.2.2', '\x622f32', NULL);
INSERT INTO public.instance VALUES (3, 1000, 1700000000123456789, 330, 0, NULL, 0, 1, 1, 0, NULL, 0, 0, 0, '1.2.3.0', '\x632f30', NULL);
INSERT INTO public.instance VALUES (4, 1000, 1700000000123456789, 330, 0, NULL, 0, 2, 1, 0, NULL, 0, 0, 0, '1.3.1.0', '\x642f30', NULL);
INSERT INTO public.instance VALUES (5, 1000, 1700000000123456789, 330, 500, 1700000004500, 0, 3, 1, 1, NULL, 2, 0, 0, '1.4.1.0', '\x652f30', NULL);
INSERT INTO public.instance VALUES (5, 1000, 1700000000123456789, 330, 0, NULL, 1, 3, 1, 0, NULL, 6, 0, 0, '1.4.1.1', '\x652f31', 'connection refused');
INSERT INTO public.known VALUES (1, -5404434186805579724, 1, 0);
INSERT INTO public.known VALUES (1, -5404434186805579551, 1, 3);
INSERT INTO public.known VALUES (1, -5404434186805579385, 1, 1);
INSERT INTO public.known VALUES (1, -5404434186805579362, 1, 2);
INSERT INTO public.known VALUES (1, -5404434186805570824, 1, 4);
INSERT INTO public.known VALUES (1, -5404432769466372044, 3, 0);
INSERT INTO public.known VALUES (1, -5404426941195751372, 2, 0);
INSERT INTO public.known VALUES (1, -5404426941195751033, 2, 1);
INSERT INTO public.known VALUES (1, -5404426941195751010, 2, 2);
INSERT INTO public.known VALUES (1, -3695191936998977517, 1, 7);
INSERT INTO public.known VALUES (1, -3695191936998977372, 1, 6);
INSERT INTO public.known VALUES (1, -3695191936998975811, 1, 5);
INSERT INTO public.known VALUES (2, -6355831286103674828, 4, 0);
INSERT INTO public.known VALUES (3, -2363662873848582092, 5, 0);
INSERT INTO public.known VALUES (3, -2363662873848581753, 5, 1);
INSERT INTO public.leadership VALUES (1, '', 0, 0, 0);
INSERT INTO public.lease VALUES (1, 1, 'w1', 1, 2);
INSERT INTO public.lease VALUES (2, 2, 'w2', 1, 1);
INSERT INTO public.lease VALUES (3, 2, 'w1', 0, 0);
INSERT INTO public.lease VALUES (4, 5, 'w2', 1, 1);
INSERT INTO public.ledger_schema VALUES (1);
INSERT INTO public.pair VALUES (1, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1');
INSERT INTO public.root VALUES (1, 1, '\x2f64617461');
INSERT INTO public.root VALUES (2, 2, '\x2f64617461');
INSERT INTO public.root VALUES (3, 3, '\x2f64617461');
INSERT INTO public.scan VALUES (1, '\x', 0, 1);
INSERT INTO public.scan VALUES (3, '\x', 0, 1);
INSERT INTO public.session VALUES (1, 'aaaaaaaa-0000-4000-8000-000000000001', '\x0a2461616161616161612d303030302d343030302d383030302d303030303030303030303031121b0a0450414353120653454e4445521a093132372e302e302e3120681a0408808008280330e0d4033a052f646174614001', 1, '', 1, 1700000000000, NULL, 3, 12, 2, 1, 2, 0, 2, 1, 0, 0, 11024, 3001, 6017, 1500, 3, NULL, 'PACS', 'SENDER', '127.0.0.1', 104);
INSERT INTO public.session VALUES (2, 'bbbbbbbb-0000-4000-8000-000000000002', '\x0a2462626262626262622d303030302d343030302d383030302d303030303030303030303032121b0a0450414353120653454e4445521a093132372e302e302e3120681a0408808008280330e0d4033a052f646174614001', 0, '', 0, 1700000000000, NULL, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0, 0, 0, NULL, 'PACS', 'SENDER', '127.0.0.1', 104);
INSERT INTO public.session VALUES (3, 'cccccccc-0000-4000-8000-000000000003', '\x0a2463636363636363632d303030302d343030302d383030302d303030303030303030303033121b0a0450414353120653454e4445521a093132372e302e302e3120681a0408808008280330e0d4033a052f646174614001', 3, 'connection refused', 1, 1700000000000, 1700000005000, 1, 2, 1, 0, 1, 1, 0, 0, 0, 0, 2000, 1000, 2000, 500, 1, NULL, 'PACS', 'SENDER', '127.0.0.1', 104);
INSERT INTO public.session_worker VALUES (1, 'w1', 1);
INSERT INTO public.session_worker VALUES (1, 'w2', 1);
INSERT INTO public.session_worker VALUES (3, 'w2', 1);
INSERT INTO public.study VALUES (1, 1, '1.2.1', 1, 5, 0, 1700000001000, 1700000002000, 8, 1, 1, 2, 0, 2, 1, 0, 0, 7024, 2001, 5017, 1000, 2, NULL);
INSERT INTO public.study VALUES (2, 1, '1.2.2', 3, 3, 3, 1700000001000, 1700000002500, 3, 1, 0, 0, 0, 0, 0, 0, 0, 3000, 1000, 1000, 500, 1, NULL);
INSERT INTO public.study VALUES (3, 1, '1.2.3', 0, 0, 0, NULL, NULL, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0, 0, 0, NULL);
INSERT INTO public.study VALUES (4, 2, '1.3.1', 0, 0, 0, NULL, NULL, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0, 0, 0, NULL);
INSERT INTO public.study VALUES (5, 3, '1.4.1', 0, 2, 0, 1700000004000, 1700000004500, 2, 1, 0, 1, 1, 0, 0, 0, 0, 2000, 1000, 2000, 500, 1, 'A-1');
INSERT INTO public.study_pair VALUES (1, 1);
INSERT INTO public.study_pair VALUES (2, 1);
INSERT INTO public.study_pair VALUES (3, 1);
INSERT INTO public.study_pair VALUES (4, 1);
INSERT INTO public.study_pair VALUES (5, 1);
SELECT pg_catalog.setval('public.pair_id_seq', 1, true);
SELECT pg_catalog.setval('public.root_id_seq', 3, true);
SELECT pg_catalog.setval('public.session_key_seq', 3, true);
SELECT pg_catalog.setval('public.study_key_seq', 5, true);
ALTER TABLE ONLY public.instance
    ADD CONSTRAINT instance_pkey PRIMARY KEY (study, idx);
ALTER TABLE ONLY public.known
    ADD CONSTRAINT known_pkey PRIMARY KEY (session, hash, study, idx);
ALTER TABLE ONLY public.leadership
    ADD CONSTRAINT leadership_pkey PRIMARY KEY (epoch);
ALTER TABLE ONLY public.leadership
    ADD CONSTRAINT leadership_place_key UNIQUE (place);
ALTER TABLE ONLY public.lease
    ADD CONSTRAINT lease_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.pair
    ADD CONSTRAINT pair_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.pair
    ADD CONSTRAINT pair_sop_class_transfer_syntax_key UNIQUE (sop_class, transfer_syntax);
ALTER TABLE ONLY public.root
    ADD CONSTRAINT root_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.session
    ADD CONSTRAINT session_uuid_key UNIQUE (uuid);
ALTER TABLE ONLY public.session_worker
    ADD CONSTRAINT session_worker_pkey PRIMARY KEY (session, worker);
ALTER TABLE ONLY public.study_pair
    ADD CONSTRAINT study_pair_pkey PRIMARY KEY (study, pair);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT study_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.study
    ADD CONSTRAINT study_session_uid_key UNIQUE (session, uid);
CREATE UNIQUE INDEX ignored_indexer ON public.ignored USING btree (session, sha256(indexer), reason);
CREATE UNIQUE INDEX root_path ON public.root USING btree (session, sha256(path));
CREATE UNIQUE INDEX scan_indexer ON public.scan USING btree (session, sha256(indexer));
CREATE INDEX study_by_session ON public.study USING btree (session, key);
CREATE INDEX study_leased ON public.study USING btree (session, key) WHERE (lease > 0);
