# Words of acts, purposes and grounds, as tables and sentences of an audit use them.

act-UNSPECIFIED = unknown
act-LOG_STARTED = log started
act-ROSTER_ADOPTED = roster came into force
act-EVALUATION_ASKED = evaluation asked
act-EVALUATION_ANSWERED = evaluation answered
act-EVALUATION_RECEIVED = evaluation received
act-LOOKUP_ASKED = lookup asked
act-LOOKUP_ANSWERED = lookup answered
act-LOOKUP_RECEIVED = lookup answer received
act-DISCLOSURE_ASKED = fields asked for
act-DISCLOSURE_ANSWERED = fields answered
act-DISCLOSURE_RECEIVED = fields received
act-RECORDS_IMPORTED = records imported
act-RECORDS_PUBLISHED = records published
act-RECORD_ERASED = record erased
act-AUDIT_ANSWERED = audit answered
act-QUERY_REFUSED = query refused
act-LEAVES_READ = leaves read by an ombudsman
act-WRONG_ANSWER = wrong answer received
act-SPLIT_VIEW_FOUND = split view found
act-PROMISE_BROKEN = broken promise found
act-CEREMONY_JOINED = ceremony of the coalition key joined
act-CEREMONY_FINISHED = ceremony of the coalition key finished
act-CEREMONY_FILE_REFUSED = file of a ceremony refused
act-SILENT_CHECKED = lookups compared with silent records
act-EPOCH_OPENED = register moved to a new key epoch
act-EPOCH_LEFT = key epoch left
act-SHARE_TAKEN = key share taken
act-SHARE_DESTROYED = key share destroyed
act-ROOT_ADOPTED = root came into force
act-ROSTER_REFUSED = roster refused
act-CLOCK_ACCEPTED = clock accepted
act-CLOCK_SET_BACK = clock set back
act-HOUSE_RULES_SET = house rules set
act-KEYS_CHANGED = keys changed
act-ROSTER_STALE = roster not vouched for
act-ALERT_RAISED = alert raised
act-POLICY_ADOPTED = policy came into force
act-POLICY_REFUSED = policy refused
act-DISCLOSURE_APPROVED = fields approved by a person
act-DISCLOSURE_DENIED = fields denied by a person
act-BREAK_GLASS = fields released by one person alone
act-BREAK_GLASS_REVIEWED = release reviewed
act-DISCLOSURE_WITHDRAWN = what was told withdrawn
act-DISCLOSURE_CORRECTED = what was told corrected
act-DISCLOSURE_EXPIRED = request expired
act-DISCLOSURE_ESCALATED = people told that a request waits
act-NOTICE_ASKED = notice sent
act-NOTICE_ANSWERED = notice acted on
act-NOTICE_RECEIVED = notice acknowledged
act-RECEIVED_ERASED = what was told erased in time
act-OPERATOR_SIGNED_IN = person signed in
act-OPERATOR_REFUSED = sign-in refused
act-OPERATOR_SIGNED_OUT = person signed out
act-ACCOUNT_CHANGED = account changed
act-WRAPPING_KEY_MADE = wrapping key made
act-WRAPPING_KEY_DESTROYED = wrapping key destroyed
act-BACKUP_CREATED = backup made

# After "for".
purpose-family_tracing = tracing the family
purpose-reunification = reunification
purpose-identity_verification = verifying an identity
purpose-child_protection = protecting the child
purpose-audit = an audit
purpose-none = a purpose that was not stated

# After "on".
basis-consent = the consent of the child or who speaks for it
basis-vital_interest = the child's vital interests
basis-public_interest = a public task laid down by law
basis-legal_obligation = a duty laid on it by law
basis-court_order = the order of a court
basis-none = a ground that was not stated

# After "was answered".
grade-MATCH = a match
grade-POSSIBLE = a possible match, for a person to decide
grade-NO_MATCH = no match
grade-UNKNOWN = an unknown grade

list-none = nothing
list-last = { $rest } and { $last }
party-nobody = nobody

# What happened to a child's record.
ground = for { $purpose }, on { $basis }
case = { " " }(its case { $case })
event-looked-up = { $at }: { $peer } looked for this child { $ground }{ $case }, and was answered { $grade }.
event-looked-up-no-lead = { $at }: { $peer } looked for this child { $ground }{ $case }, and was answered { $grade }, without a lead.
event-disclosed = { $at }: { $peer } asked for fields of the record { $ground }{ $case }. It was told { $granted }; { $withheld } was withheld.
event-refused = { $at }: { $peer } asked for fields of the record{ $case }, and was refused ({ $code }).
event-searched-abroad = { $at }: { $own } looked for this child at { $peer } { $ground }{ $case }.
event-answer-from-abroad = { $at }: { $peer } answered { $own } with { $grade }.
event-asked-abroad = { $at }: { $own } asked { $peer } for { $fields } { $ground }{ $case }.
event-told-from-abroad = { $at }: { $peer } told { $own } { $granted }; { $withheld } was withheld.
event-met-silently = { $at }: { $own } compared earlier lookups with its silent records, and one of them had looked for this child; it would have been answered { $grade }. The peer learned nothing.
event-decided = { $at }: at { $own }, on what { $peer } asked for{ $case }: { $act } ({ $fields }).
event-decided-bare = { $at }: at { $own }, on what { $peer } asked for{ $case }: { $act }.
event-erased = { $at }: { $own } erased the record.
event-audited = { $at }: { $peer }, as ombudsman, had this record's pseudonym named, to make a report like this one.

child-records = { $member } { $count ->
    [0] holds no record that this child touches.
    [one] holds one record that this child touches.
   *[other] holds { $count } records that this child touches.
}
sighting = { $at }: { $asker } sent { $holder } a query that carried this child's tokens { $ground }{ $case }. By the rules of linkage it was { $agrees }. Answer: { $grade }.
sighting-elsewhere = it stands in the other log
child-index = { $member } proved { $standing } of this child's { $keys } keys to stand in the index that its log states ({ $rows } rows, epoch { $epoch }, leaf { $leaf }).
child-index-empty = The log of { $member } states no index under epoch { $epoch }: it offered nothing for searching.
child-untold = Of { $count ->
    [one] one lookup
   *[other] { $count } lookups
} in the log of { $member } it can no longer be told whether they were about this child: the key of their epoch is gone, or no keyholders answered under it.

# A leaf whose exchange did not come to its end.
loose-refused = { $at }: { $peer } refused a query of { $own } (leaf { $leaf }, { $code }).
loose-answered = { $at }: { $own } answered { $peer } (leaf { $leaf }), and the answer did not arrive, or { $peer } could not use it.
loose-received = { $at }: { $own } holds an answer of { $peer } (leaf { $leaf }), which the other log does not tell of; what stands here does not prove that it must.
loose-asked = { $at }: { $own } asked { $peer } (leaf { $leaf }); the query was sent and not answered, or was lost on the way.

# The report.
report-title = Report on the exchange of children's data
report-title-child = Report on the requests about one child
report-by = Made by { $by } on { $at }, by reading the logs of the nodes from outside. No node's word was taken for anything that its log does not prove.
report-summary = In plain words
report-ok = Nothing was found that does not hold.
report-bad = { $count ->
    [one] One thing does not hold. It is named below.
   *[other] { $count } things do not hold. They are named below.
}
report-leaves = { $count ->
    [one] { $count } leaf
   *[other] { $count } leaves
}
report-log-ok = The log of { $member } is whole: { $leaves }, all under the root that its node signed. The evidence behind { $evidence } of them was checked, and holds.
report-log-bad = The log of { $member } ({ $leaves }) does not hold: { $findings ->
    [one] one thing was found
   *[other] { $findings } things were found
}.
report-witnessed = Its newest checkpoint was cosigned by { $names }.
report-unwitnessed = No witness had cosigned its newest checkpoint.
report-story-ok = Both sides of every exchange tell the same story: { $pairs ->
    [one] one question has its answer
   *[other] { $pairs } questions have their answers
} in the other log.
report-story-bad = The logs contradict each other: { $findings ->
    [one] one contradiction was found
   *[other] { $findings } contradictions were found
}. { $pairs ->
    [one] One question has its answer
   *[other] { $pairs } questions have their answers
} in the other log.
report-refused = { $count ->
    [one] One question was refused by the other side.
   *[other] { $count } questions were refused by the other side.
}
report-open = { $count ->
    [one] One question has no answer, or its answer did not arrive. That is no fault by itself: a message can be lost on the way.
   *[other] { $count } questions have no answer, or their answers did not arrive. That is no fault by itself: a message can be lost on the way.
}
report-child-held = { $member } says that it holds a record under this reference now.
report-child-not-held = { $member } says that it holds no record under this reference now.
report-child-nobody = Nobody asked about this record at { $member }, but this office for this report.
report-child-complete = The list is complete as far as this log goes: all of it was read, and the record's pseudonym is proved.
report-child-incomplete = The list may not be complete, because something does not hold.
report-findings = What does not hold
report-events = What happened, by time
report-acts = What was done
report-loose = Questions that did not come to their end
report-timeline = Acts by time
report-timeline-alt = A chart of the acts of { $rows }, from { $from } to { $to }. { $acts ->
    [one] One act is shown
   *[other] { $acts } acts are shown
}; { $trouble ->
    [0] none of them is marked as not holding.
    [one] one place is marked as not holding.
   *[other] { $trouble } places are marked as not holding.
} The tables below give the same in figures.
report-timeline-key = A bar is higher the more acts there were. A triangle marks a place that does not hold.
report-is-in = The report is in { $file }.
report-limits = What this report cannot show
report-limit-both = If both ends of an exchange agreed to keep it out of their logs, no log has it.
report-limit-index = A record that its register never offered for searching left no trace to find.
report-limit-lost = Of a question without an answer, the logs do not tell who lost it.
report-limit-silent = Where a silent record was met afterwards, the log does not say by which lookup: the member's own alerts do.
report-limit-own = What a member does with its own register by itself, without asking another, is not in these logs.
report-proofs = The proofs
report-proofs-intro = With what follows anyone can check this report again. A checkpoint is a log's size and root, signed by its node; the roster says whose keys are whose.
report-proof-checkpoint = Checkpoint of { $member }
report-proof-roster = Roster in force
report-proof-pseudonym = Pseudonym of the record, with its proof
report-proof-fork = Two checkpoints of { $member } that contradict each other
report-sign = The file report.note beside this one holds the ombudsman's signature over this report. `wayhome audit verify --report FOLDER` checks it.
report-column-member = member
report-column-place = place
report-column-code = code
report-column-what = what does not hold
report-column-act = act
report-column-party = other party
report-column-leaves = leaves
report-column-counted = counted
report-column-from = first
report-column-to = last
report-column-at = when
report-column-purpose = purpose
report-column-basis = legal ground
report-column-case = case
report-column-leaf = leaf
report-column-told = told
report-column-withheld = withheld
report-column-answer = answer
report-place-node = the node
report-place-checkpoint = checkpoint
report-place-log = log
report-place-leaf = leaf { $leaf }
report-place-query = leaf { $leaf }, query
report-place-answer = leaf { $leaf }, answer
report-place-opening = leaf { $leaf }, opening
report-place-seed = leaf { $leaf }, seed
report-place-document = leaf { $leaf }, document
report-none = none

# What does not hold, by its code. In English the program itself says it more closely.
fault = { $code }
