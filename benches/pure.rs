//! The pure parts under criterion, one thread each: `cargo bench`.

#![allow(
    missing_docs,
    reason = "criterion's macros make items without documentation"
)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use wayhome::ambient::Ambient;
use wayhome::envelope::merkle::leaf_hash;
use wayhome::envelope::{Envelope, ItemsCommitment, SigningKey, dsse, items};
use wayhome::linkage::{Attributes, Date, Presence, RuleSet, RuleTable, Sex};
use wayhome::oprf::{self, BatchSeed, LocalKey, MAX_BATCH};
use wayhome::tlog::Frontier;

const TYPE: &str = "application/vnd.wayhome.lookup-query.v1";

/// A member's step before the keyholders', and a token under one key in place of theirs.
fn oprf(c: &mut Criterion) {
    let ambient = Ambient::system();
    let texts: Vec<String> = (0..MAX_BATCH)
        .map(|number| format!("a linkage key of some length, number {number}"))
        .collect();
    let inputs: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
    let seed = BatchSeed::generate(&mut ambient.rng());
    let key = LocalKey::generate(&mut ambient.rng());
    let mut group = c.benchmark_group("oprf");
    group.throughput(Throughput::Elements(MAX_BATCH as u64));
    group.sample_size(10);
    group.bench_function("blind", |b| {
        b.iter(|| oprf::blind(black_box(&seed), black_box(&inputs)));
    });
    group.bench_function("under_one_key", |b| {
        b.iter(|| key.tokens(black_box(&inputs)));
    });
    let token = key.token(b"one key").ok();
    group.throughput(Throughput::Elements(1));
    group.bench_function("lookup_token", |b| {
        b.iter(|| {
            token
                .as_ref()
                .map(|token| token.lookup_key().token(1, black_box("de")))
        });
    });
    group.finish();
}

/// Growing a log, and hashing what stands in it.
fn tlog(c: &mut Criterion) {
    let leaf = [7; 180];
    let mut group = c.benchmark_group("tlog");
    group.throughput(Throughput::Elements(1));
    group.bench_function("leaf_hash", |b| b.iter(|| leaf_hash(black_box(&leaf))));
    let mut tree = Frontier::new();
    let hash = leaf_hash(&leaf);
    group.bench_function("append", |b| {
        b.iter(|| tree.append_each(black_box(hash), |_, _| {}));
    });
    group.bench_function("root", |b| b.iter(|| black_box(&tree).root()));
    group.finish();
}

/// From attributes to keys, and from rules that agreed to a grade.
fn linkage(c: &mut Criterion) {
    let Ok(rules) = RuleTable::shipped() else {
        return;
    };
    let child = Attributes {
        family_name: Some("Ковальчук"),
        given_name: Some("Олександр"),
        patronymic: Some("Миколайович"),
        sex: Some(Sex::Male),
        date_of_birth: Some(Date {
            year: 2014,
            month: Some(5),
            day: Some(3),
        }),
        place_of_birth: Some("Маріуполь"),
        mother_family_name: Some("Ковальчук"),
        mother_given_name: Some("Олена"),
        ..Attributes::default()
    };
    let mut group = c.benchmark_group("linkage");
    group.throughput(Throughput::Elements(1));
    group.bench_function("keys", |b| b.iter(|| rules.derive(black_box(&child))));
    let agreed: RuleSet = rules.rules().iter().take(6).map(|rule| rule.id).collect();
    let whole = Presence::from_bits(0x1fff);
    let evidence = [(whole, agreed)];
    group.bench_function("decide", |b| {
        b.iter(|| rules.decide_among(whole, black_box(&evidence)));
    });
    group.finish();
}

/// One signature over a query of a thousand subjects.
fn envelope(c: &mut Criterion) {
    let ambient = Ambient::system();
    let key = SigningKey::generate(&mut ambient.rng());
    let subjects: Vec<Vec<u8>> = (0..1_000)
        .map(|_| items::salted_item(ambient.random(), &[7; 587]))
        .collect();
    let mut group = c.benchmark_group("envelope");
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("commit_to_1000_subjects", |b| {
        b.iter(|| ItemsCommitment::to(black_box(&subjects)));
    });
    group.throughput(Throughput::Elements(1));
    let payload = vec![7; 300];
    group.bench_function("sign", |b| {
        b.iter(|| Envelope::sign(TYPE, black_box(payload.clone()), &key));
    });
    if let Ok(signed) = Envelope::sign(TYPE, payload.clone(), &key) {
        let known = key.verifying_key();
        group.bench_function("verify", |b| {
            b.iter(|| dsse::verify(black_box(&signed), TYPE, |_| Some(known)));
        });
    }
    group.finish();
}

criterion_group!(pure, oprf, tlog, linkage, envelope);
criterion_main!(pure);
