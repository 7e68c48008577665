# Words of acts, purposes and grounds, as tables and sentences of an audit use them.

act-UNSPECIFIED = невідома дія
act-LOG_STARTED = журнал розпочато
act-ROSTER_ADOPTED = реєстр учасників набув чинності
act-EVALUATION_ASKED = запит на обчислення
act-EVALUATION_ANSWERED = обчислення виконано
act-EVALUATION_RECEIVED = обчислення отримано
act-LOOKUP_ASKED = запит на пошук
act-LOOKUP_ANSWERED = відповідь на пошук
act-LOOKUP_RECEIVED = відповідь на пошук отримано
act-DISCLOSURE_ASKED = запит на відомості
act-DISCLOSURE_ANSWERED = відповідь на запит про відомості
act-DISCLOSURE_RECEIVED = відомості отримано
act-RECORDS_IMPORTED = записи внесено
act-RECORDS_PUBLISHED = записи відкрито для пошуку
act-RECORD_ERASED = запис знищено
act-AUDIT_ANSWERED = відповідь на перевірку
act-QUERY_REFUSED = у запиті відмовлено
act-LEAVES_READ = журнал читав омбудсман
act-WRONG_ANSWER = отримано хибну відповідь
act-SPLIT_VIEW_FOUND = виявлено роздвоєний журнал
act-PROMISE_BROKEN = виявлено порушену обіцянку
act-CEREMONY_JOINED = приєднання до церемонії ключа коаліції
act-CEREMONY_FINISHED = церемонію ключа коаліції завершено
act-CEREMONY_FILE_REFUSED = файл церемонії відхилено
act-SILENT_CHECKED = пошуки звірено з прихованими записами
act-EPOCH_OPENED = реєстр перейшов на новий ключ
act-EPOCH_LEFT = старий ключ залишено
act-SHARE_TAKEN = частку ключа прийнято
act-SHARE_DESTROYED = частку ключа знищено
act-ROOT_ADOPTED = кореневий документ набув чинності
act-ROSTER_REFUSED = реєстр учасників відхилено
act-CLOCK_ACCEPTED = час вузла підтверджено
act-CLOCK_SET_BACK = годинник вузла переведено назад
act-HOUSE_RULES_SET = правила вузла встановлено
act-KEYS_CHANGED = ключі змінено
act-ROSTER_STALE = реєстр учасників не підтверджено
act-ALERT_RAISED = тривогу піднято
act-POLICY_ADOPTED = правила розкриття набули чинності
act-POLICY_REFUSED = правила розкриття відхилено
act-DISCLOSURE_APPROVED = особа дозволила розкрити відомості
act-DISCLOSURE_DENIED = особа відмовила в розкритті відомостей
act-BREAK_GLASS = відомості розкрила одна особа самостійно
act-BREAK_GLASS_REVIEWED = самостійне розкриття перевірено
act-DISCLOSURE_WITHDRAWN = розкриті відомості відкликано
act-DISCLOSURE_CORRECTED = розкриті відомості виправлено
act-DISCLOSURE_EXPIRED = строк запиту минув
act-DISCLOSURE_ESCALATED = людей повідомлено, що запит чекає
act-NOTICE_ASKED = повідомлення надіслано
act-NOTICE_ANSWERED = повідомлення виконано
act-NOTICE_RECEIVED = виконання повідомлення підтверджено
act-RECEIVED_ERASED = отримані відомості знищено в строк
act-OPERATOR_SIGNED_IN = особа ввійшла
act-OPERATOR_REFUSED = у вході відмовлено
act-OPERATOR_SIGNED_OUT = особа вийшла
act-ACCOUNT_CHANGED = обліковий запис змінено
act-WRAPPING_KEY_MADE = створено ключ обгортання
act-WRAPPING_KEY_DESTROYED = ключ обгортання знищено
act-BACKUP_CREATED = створено резервну копію

# After "for".
purpose-family_tracing = розшук родини
purpose-reunification = возз'єднання родини
purpose-identity_verification = встановлення особи
purpose-child_protection = захист дитини
purpose-audit = перевірка
purpose-none = мету не зазначено

# After "on".
basis-consent = згода дитини або її представника
basis-vital_interest = життєво важливі інтереси дитини
basis-public_interest = завдання в суспільних інтересах, визначене законом
basis-legal_obligation = обов'язок за законом
basis-court_order = рішення суду
basis-none = підставу не зазначено

# After "was answered".
grade-MATCH = збіг
grade-POSSIBLE = можливий збіг, рішення за людиною
grade-NO_MATCH = збігу немає
grade-UNKNOWN = невідома оцінка

list-none = нічого
list-last = { $rest } та { $last }
party-nobody = ніхто

# What happened to a child's record.
ground = (мета: { $purpose }; правова підстава: { $basis })
case = , справа { $case }
event-looked-up = { $at }: учасник { $peer } шукав цю дитину { $ground }{ $case }. Відповідь: { $grade }.
event-looked-up-no-lead = { $at }: учасник { $peer } шукав цю дитину { $ground }{ $case }. Відповідь: { $grade }, без посилання для подальшого запиту.
event-disclosed = { $at }: учасник { $peer } просив відомості із запису { $ground }{ $case }. Повідомлено: { $granted }. Не повідомлено: { $withheld }.
event-refused = { $at }: учасник { $peer } просив відомості із запису{ $case } і дістав відмову ({ $code }).
event-searched-abroad = { $at }: учасник { $own } шукав цю дитину в учасника { $peer } { $ground }{ $case }.
event-answer-from-abroad = { $at }: учасник { $peer } відповів учасникові { $own }: { $grade }.
event-asked-abroad = { $at }: учасник { $own } просив в учасника { $peer } такі відомості: { $fields } { $ground }{ $case }.
event-told-from-abroad = { $at }: учасник { $peer } повідомив учасникові { $own }: { $granted }. Не повідомлено: { $withheld }.
event-met-silently = { $at }: учасник { $own } звірив попередні пошуки з прихованими записами, і в одному з них шукали цю дитину; відповідь була б така: { $grade }. Той, хто шукав, нічого не дізнався.
event-decided = { $at }: в учасника { $own }, щодо запиту учасника { $peer }{ $case }: { $act } ({ $fields }).
event-decided-bare = { $at }: в учасника { $own }, щодо запиту учасника { $peer }{ $case }: { $act }.
event-erased = { $at }: учасник { $own } знищив запис.
event-audited = { $at }: омбудсман { $peer } запитав псевдонім цього запису, щоб скласти такий самий звіт.

child-records = { $member }: { $count ->
    [0] немає записів, яких торкається ця дитина.
    [one] { $count } запис, якого торкається ця дитина.
    [few] { $count } записи, яких торкається ця дитина.
   *[many] { $count } записів, яких торкається ця дитина.
}
sighting = { $at }: учасник { $asker } надіслав учасникові { $holder } запит із позначками цієї дитини { $ground }{ $case }. За правилами зіставлення це { $agrees }. Відповідь: { $grade }.
sighting-elsewhere = вона є в іншому журналі
child-index = { $member }: доведено, що з ключів цієї дитини ({ $keys }) у покажчику, про який каже журнал (рядків { $rows }, епоха { $epoch }, запис журналу { $leaf }), стоїть { $standing }.
child-index-empty = { $member }: журнал не каже про жоден покажчик за епохою { $epoch }. Для пошуку нічого не відкрито.
child-untold = { $member }: { $count ->
    [one] про { $count } пошук
    [few] про { $count } пошуки
   *[many] про { $count } пошуків
} у журналі вже не можна сказати, чи стосувалися вони цієї дитини: ключа їхньої епохи немає, або тримачі ключа не відповіли.

# A leaf whose exchange did not come to its end.
loose-refused = { $at }: учасник { $peer } відмовив у запиті учасника { $own } (запис журналу { $leaf }, { $code }).
loose-answered = { $at }: учасник { $own } відповів учасникові { $peer } (запис журналу { $leaf }), але відповідь не дійшла або { $peer } не зміг її використати.
loose-received = { $at }: учасник { $own } має відповідь учасника { $peer } (запис журналу { $leaf }), про яку інший журнал не згадує; наявне тут не доводить, що мусив би.
loose-asked = { $at }: учасник { $own } запитав учасника { $peer } (запис журналу { $leaf }); запит залишився без відповіді або загубився дорогою.

# The report.
report-title = Звіт про обмін даними про дітей
report-title-child = Звіт про запити щодо однієї дитини
report-by = Склав: { $by }, { $at }, прочитавши журнали вузлів ззовні. Жодному вузлові не повірено на слово в тому, чого не доводить його журнал.
report-summary = Простими словами
report-ok = Порушень не знайдено.
report-bad = { $count ->
    [one] Знайдено { $count } порушення. Його названо нижче.
    [few] Знайдено { $count } порушення. Їх названо нижче.
   *[many] Знайдено { $count } порушень. Їх названо нижче.
}
report-leaves = { $count ->
    [one] { $count } запис
    [few] { $count } записи
   *[many] { $count } записів
}
report-log-ok = Журнал учасника { $member } цілий: { $leaves }, усі під коренем, який підписав його вузол. Перевірено докази до { $evidence } з них; вони чинні.
report-log-bad = Журнал учасника { $member } ({ $leaves }) не витримав перевірки: { $findings ->
    [one] знайдено { $findings } порушення
    [few] знайдено { $findings } порушення
   *[many] знайдено { $findings } порушень
}.
report-witnessed = Його найновішу контрольну точку засвідчили: { $names }.
report-unwitnessed = Його найновішу контрольну точку не засвідчив жоден свідок.
report-story-ok = Обидві сторони кожного обміну свідчать одне й те саме: { $pairs ->
    [one] { $pairs } запит має відповідь
    [few] { $pairs } запити мають відповіді
   *[many] { $pairs } запитів мають відповіді
} в іншому журналі.
report-story-bad = Журнали суперечать один одному: { $findings ->
    [one] знайдено { $findings } суперечність
    [few] знайдено { $findings } суперечності
   *[many] знайдено { $findings } суперечностей
}. { $pairs ->
    [one] { $pairs } запит має відповідь
    [few] { $pairs } запити мають відповіді
   *[many] { $pairs } запитів мають відповіді
} в іншому журналі.
report-refused = { $count ->
    [one] У { $count } запиті інша сторона відмовила.
   *[many] У { $count } запитах інша сторона відмовила.
}
report-open = { $count ->
    [one] { $count } запит не має відповіді або відповідь не дійшла. Саме по собі це не порушення: повідомлення може загубитися дорогою.
    [few] { $count } запити не мають відповіді або відповіді не дійшли. Саме по собі це не порушення: повідомлення може загубитися дорогою.
   *[many] { $count } запитів не мають відповіді або відповіді не дійшли. Саме по собі це не порушення: повідомлення може загубитися дорогою.
}
report-child-held = Учасник { $member } стверджує, що має зараз запис за цим номером.
report-child-not-held = Учасник { $member } стверджує, що не має зараз запису за цим номером.
report-child-nobody = Ніхто не питав про цей запис в учасника { $member }, крім цього омбудсмана заради цього звіту.
report-child-complete = Перелік повний у межах цього журналу: його прочитано весь, а псевдонім запису доведено.
report-child-incomplete = Перелік може бути неповним, бо знайдено порушення.
report-findings = Порушення
report-events = Що відбувалося, за часом
report-acts = Що було зроблено
report-loose = Запити, які не дійшли кінця
report-timeline = Дії за часом
report-timeline-alt = Графік дій: { $rows }, від { $from } до { $to }. { $acts ->
    [one] Показано { $acts } дію
    [few] Показано { $acts } дії
   *[many] Показано { $acts } дій
}; { $trouble ->
    [0] порушень не позначено.
    [one] позначено { $trouble } місце порушення.
    [few] позначено { $trouble } місця порушень.
   *[many] позначено { $trouble } місць порушень.
} Таблиці нижче подають те саме в числах.
report-timeline-key = Що вищий стовпчик, то більше було дій. Трикутник позначає місце порушення.
report-is-in = Звіт записано у файл { $file }.
report-limits = Чого цей звіт показати не може
report-limit-both = Якщо обидві сторони змовилися не вносити обмін до своїх журналів, його немає в жодному журналі.
report-limit-index = Запис, який реєстр ніколи не відкривав для пошуку, не залишив сліду.
report-limit-lost = Журнали не кажуть, хто загубив запит, що залишився без відповіді.
report-limit-silent = Якщо прихований запис виявлено при пізнішій звірці, журнал не каже, під час якого саме пошуку: це видно з попереджень у самого учасника.
report-limit-own = Того, що учасник робить із власним реєстром сам, не питаючи інших, у цих журналах немає.
report-proofs = Докази
report-proofs-intro = За тим, що подано далі, будь-хто може перевірити цей звіт знову. Контрольна точка — це розмір і корінь журналу, підписані його вузлом; реєстр учасників каже, чиї це ключі.
report-proof-checkpoint = Контрольна точка учасника { $member }
report-proof-roster = Чинний реєстр учасників
report-proof-pseudonym = Псевдонім запису з доказом
report-proof-fork = Дві контрольні точки учасника { $member }, що суперечать одна одній
report-sign = У файлі report.note поруч є підпис омбудсмана під цим звітом. Його перевіряє `wayhome audit verify --report FOLDER`.
report-column-member = учасник
report-column-place = місце
report-column-code = код
report-column-what = у чому порушення
report-column-act = дія
report-column-party = інша сторона
report-column-leaves = записів
report-column-counted = кількість
report-column-from = перша
report-column-to = остання
report-column-at = коли
report-column-purpose = мета
report-column-basis = правова підстава
report-column-case = справа
report-column-leaf = запис журналу
report-column-told = повідомлено
report-column-withheld = не повідомлено
report-column-answer = відповідь
report-place-node = вузол
report-place-checkpoint = контрольна точка
report-place-log = журнал
report-place-leaf = запис { $leaf }
report-place-query = запис { $leaf }, запит
report-place-answer = запис { $leaf }, відповідь
report-place-opening = запис { $leaf }, розкриття
report-place-seed = запис { $leaf }, зерно
report-place-document = запис { $leaf }, документ
report-none = немає

# What does not hold, by its code. In English the program itself says it more closely.
fault = { $code ->
    [UNREACHABLE] з вузлом не вдалося зв'язатися
    [REFUSED] вузол відмовився відповідати
    [BAD_REPLY] відповідь вузла порушує протокол
    [BAD_CHECKPOINT] контрольна точка не чинна
    [CUT_BACK] журнал коротший, ніж той, що його вузол уже підписав: його обрізано
    [FORKED] вузол підписав іншу історію, ніж показує зараз: журнал роздвоєно
    [LEAF_MISSING] запису бракує
    [LEAF_MOVED] запис стоїть не на своєму місці або вставлений двічі
    [LEAF_ADDED] запис вставлено: його немає в журналі, який підписав вузол
    [BAD_PROOF] доказ місця запису не чинний
    [REWRITTEN] записи не ті, що їх перевірено раніше
    [TOO_FEW_WITNESSES] контрольну точку засвідчило замало свідків
    [NOT_COSIGNED] потрібні свідки досі не засвідчили цей запис журналу
    [UNKNOWN_WITNESS] контрольну точку засвідчив невідомий свідок
    [BAD_COSIGNATURE] підпис свідка не чинний
    [MORE_FINDINGS] знайдено більше, ніж названо
    [DAMAGED_LEAF] вузол більше не може прочитати цей запис: базу даних змінено або пошкоджено
    [ALTERED_LEAF] це не той запис, який підписав вузол: його змінено
    [OTHER_ROOT] записи не дають кореня, який підписав вузол
    [MORE_LEAVES] порушено більше записів, ніж названо
    [MALFORMED_LEAF] це не запис журналу
    [NO_BEGINNING] перший запис не називає ключа псевдонімів
    [GIVEN_UP_SHORT] новий журнал продовжує менше записів попереднього, ніж тут було перевірено, або іншу його історію
    [NOT_CONTINUED] перший запис не каже, що журнал продовжує той, який тут було перевірено раніше
    [SECOND_BEGINNING] посеред журналу стоїть друге начало
    [BACK_IN_TIME] час запису передує часові попереднього
    [AUDIT_NOT_RECORDED] вузол не записав до журналу цієї перевірки
    [ANSWERED_TWICE] на той самий запит відповіли двічі
    [MISSING] доказу бракує
    [DAMAGED] вузол більше не може прочитати доказ: базу даних змінено або пошкоджено
    [UNREADABLE] це неможливо прочитати
    [OTHER_KIND] повідомлення іншого роду, ніж ця дія
    [BAD_SIGNATURE] підписано ключем, якого реєстр учасників тоді не визнавав
    [OLD_ROSTER] вузол мав справу з учасником за давно застарілим реєстром учасників, хоча новіший уже не визнає цього підпису
    [BAD_BLIND] розкрите вузлом із засліпленого пакета не відповідає тому, що було підписано
    [OTHER_ROSTER] підписано за іншим реєстром учасників, ніж той, якому тут довіряють
    [OTHER_MESSAGE] це не те повідомлення, про яке каже запис
    [BAD_ITEMS] складники не ті, що були підписані
    [ITEM_HIDDEN] складник нібито стерто, а зі звернень про пошук нічого не стирають: вузол його приховує
    [OTHER_QUERY] це відповідь на інший запит
    [BAD_RECEIPT] розписка не чинна або її бракує
    [BAD_OPENING] розкриття не відповідає зобов'язанню в записі
    [OTHER_DOCUMENT] це не той документ, що набув чинності за цим записом
    [OTHER_OUTCOME] записаний підсумок не той, про який відповіли
    [UNKNOWN_LEAD] відомості повідомлено за посиланням, якого цій стороні не давали
    [OTHER_RECORD] посилання вело до іншого запису
    [NO_OMBUDSMAN] журнал читав той, хто не має права його перевіряти
    [ANSWER_DENIED] інша сторона має підписану цим вузлом відповідь, якої немає в його журналі
    [QUERY_DENIED] інша сторона має підписаний цим вузлом запит, якого немає в його журналі
    [OTHER_STORY] інша сторона свідчить про цей обмін інакше
    [NOT_ASKED] отримано відповідь, якої ніхто не просив
    [BROKEN_PROMISE] розписка, яку дав цей вузол, не справджується в його журналі
    [DENIED_CHILD] запит ніс позначки дитини, запис якої має вузол, а відповідь заперечила збіг
    [OTHER_RECORD_NAMED] запит ніс позначки дитини, запис якої має вузол, а підсумок у журналі називає лише інші записи
    [SPLIT_VIEW] журнал показує дві історії: інший учасник має дві його контрольні точки, що суперечать одна одній
    [REPORTED] інший учасник має дві контрольні точки цього журналу й каже, що одна не продовжує іншої
    [WRONG_ANSWER] інший учасник має підписану цим учасником відповідь і каже, що вона не чинна
    [FALSE_REPORT] відповідь іншого учасника названо нечинною, а вона чинна
    [OTHER_INDEX] вузол показує не той покажчик, про який каже його журнал
    [RECORD_HIDDEN] усі ключі дитини є в покажчику за журналом, а вузол не називає жодного її запису
    [BAD_PSEUDONYM] вузол не довів псевдоніма, який назвав
   *[other] порушення
} ({ $code })
