# Консоль: що оточує кожну сторінку.
console-skip = Перейти до змісту сторінки
console-navigation = Розділи
console-way-back = Шлях назад
console-back = Назад
console-to-home = На першу сторінку
console-sign-out = Вийти
console-save = Зберегти
console-notice = Зверніть увагу
console-errors = Є помилка
console-error-title = Помилка:
console-footer = Усе, що тут роблять, записано в журналі, який ніхто не може непомітно змінити.
console-day = День
console-month = Місяць
console-year = Рік
console-date = { $day } { $month } { $year } р.
console-date-month = { $month } { $year } р.
console-moment = { $date }, { $time } UTC
console-month-of-1 = січня
console-month-of-2 = лютого
console-month-of-3 = березня
console-month-of-4 = квітня
console-month-of-5 = травня
console-month-of-6 = червня
console-month-of-7 = липня
console-month-of-8 = серпня
console-month-of-9 = вересня
console-month-of-10 = жовтня
console-month-of-11 = листопада
console-month-of-12 = грудня
console-month-in-1 = січень
console-month-in-2 = лютий
console-month-in-3 = березень
console-month-in-4 = квітень
console-month-in-5 = травень
console-month-in-6 = червень
console-month-in-7 = липень
console-month-in-8 = серпень
console-month-in-9 = вересень
console-month-in-10 = жовтень
console-month-in-11 = листопад
console-month-in-12 = грудень
console-need = Заповніть це поле
console-need-name = Уведіть ім'я
console-need-password = Уведіть пароль
console-need-code = Уведіть код
console-need-sure = Підтвердьте, що ви впевнені
console-restored = Ваш сеанс закінчився. Усе, що ви ввели, знову тут: перевірте й надішліть.
console-old-form = Цю сторінку відкрито до вашого останнього входу, тому нічого не зроблено. Усе, що ви ввели, тут: перевірте й надішліть.
console-sent-twice-title = Це вже зроблено
console-sent-twice = Ту саму форму надіслано двічі. Її виконано один раз; те, що вона показала, показують лише раз.
console-wrong-host = Консоль не знає імені, яким скористався ваш браузер. Відкрийте адресу, яку дав адміністратор вузла.
console-foreign-form = Форма надійшла з іншого сайту, тому нічого не зроблено.
console-failed = Вузол не зміг відповісти. Спробуйте ще раз за мить.
console-malformed = Надіслане браузером неможливо прочитати, тому нічого не зроблено. Поверніться й спробуйте ще раз.
console-too-large = Надіслано забагато. Надішліть менше за один раз.

# Розділи.
nav-home = Головна
nav-search = Пошук
nav-cases = Справи
nav-inbox = Запити
nav-register = Реєстр
nav-review = Розгляд
nav-audit = Перевірка
nav-members = Учасники
nav-people = Люди
nav-settings = Налаштування

# Чому щось не зроблено.
problem-title = Зараз це неможливо
problem-title-not-found = Такої сторінки немає
problem-title-role = Це не ваше завдання
problem-sign-in = Спершу ввійдіть.
problem-sign-in-again = Увійдіть ще раз: для рішення потрібен вхід за останні п'ять хвилин.
problem-not-found = За цією адресою нічого немає або вже немає. Перевірте адресу чи почніть з першої сторінки.
problem-ROLE_MISSING = Ваш обліковий запис не має потрібної ролі. Ролі надає адміністратор.
problem-ROLE_WITHDRAWN = Потрібну роль у вашого облікового запису забрано. Зверніться до адміністратора.
problem-other = Вузол відмовив: { $message } ({ $code })
problem-STORE_FAILED = База даних не змогла відповісти. Повідомте адміністратора вузла.
problem-CODE_WRONG = Код недійсний. Код діє один раз; попросіть новий.
problem-ACCOUNT_NAME = Ім'я має від 1 до 64 літер, цифр і знаків . _ -
problem-NAME_TAKEN = Обліковий запис з таким іменем уже є. Виберіть інше.
problem-PASSWORD_LENGTH = Пароль має щонайменше 12 знаків.
problem-SIGN_IN_REFUSED = Ім'я, пароль або код неправильні, або код уже використано. Дочекайтеся наступного коду й спробуйте ще раз.
problem-SIGN_IN_LOCKED = Забагато невдалих входів. Спробуйте через 15 хвилин.
problem-LAST_ADMINISTRATOR = Вузол залишився б без адміністратора. Спершу надайте цю роль іншому обліковому запису.
problem-ACCOUNT_CHANGED = Обліковий запис тієї ж миті змінився. Погляньте на нього й спробуйте ще раз.

# Вхід.
set-up-title = Налаштування консолі
set-up-text = Облікових записів ще немає. Перший належить адміністраторові: він створює записи для інших.
set-up-code-hint = Код, який з'явився в терміналі, коли створювали вузол. Новий код дає команда "wayhome accounts first-code".
set-up-done = Консоль уже налаштовано. Увійдіть або отримайте обліковий запис, який створив для вас адміністратор.
claim-title = Отримати обліковий запис
claim-text = Адміністратор створив для вас обліковий запис і дав вам код.
claim-code = Одноразовий код
claim-code-hint = Код, який дав вам адміністратор. Він діє один раз.
claim-name-hint = Ім'я облікового запису, з яким ви входитимете.
claim-password-hint = Щонайменше { $length } знаків. Добре підійде речення, яке не спаде на думку нікому іншому.
claim-password-again = Пароль ще раз
claim-passwords-differ = Паролі відрізняються
claim-button = Отримати обліковий запис
claimed-title = Обліковий запис ваш: тепер автентифікатор
claimed-text = Для входу, крім пароля, потрібен код із застосунку-автентифікатора на телефоні. Зчитайте ним зображення або введіть у нього ключ.
claimed-picture = Для камери автентифікатора
claimed-picture-note = Якщо зчитати зображення не вдається, уведіть в автентифікатор ключ, поданий нижче.
claimed-secret = Ключ
claimed-link = Автентифікатор на цьому пристрої
claimed-link-text = Відкрити автентифікатор
claimed-once = Зображення й ключ показують лише зараз. Не залишайте сторінку, доки автентифікатор не показує коди.
claimed-next = Автентифікатор показує коди: увійти
sign-in-title = Вхід
sign-in-name = Ім'я
sign-in-password = Пароль
sign-in-code = Код
sign-in-code-hint = 6 цифр, які показує автентифікатор
sign-in-button = Увійти
sign-in-claim = Я маю одноразовий код для нового облікового запису
sign-in-held-off = З цього пристрою забагато невдалих входів. Зачекайте п'ять хвилин і спробуйте ще раз.
sign-in-again-title = Увійдіть ще раз
sign-in-again-text = Для рішення про те, що повідомити іншим, потрібен вхід за останні п'ять хвилин. Ваш вибір збережено, і він повернеться.
signed-out-title = Вихід
signed-out-text = Ви вийшли.
language-title = Мова
# Сама мова, її власними словами.
language-name = Українська
language-switch = Українською

# Головна.
home-title = Що на вас чекає
home-nothing = На вас нічого не чекає.
home-node = Вузол
home-requests = { $count ->
    [one] запит чекає на рішення
    [few] запити чекають на рішення
   *[other] запитів чекають на рішення
}
home-overdue = { $count ->
    [one] запит прострочено
    [few] запити прострочено
   *[other] запитів прострочено
}
home-reviews = { $count ->
    [one] самостійне розкриття треба перевірити
    [few] самостійні розкриття треба перевірити
   *[other] самостійних розкриттів треба перевірити
}
home-alerts = { $count ->
    [one] пошук торкнувся захищеної дитини
    [few] пошуки торкнулися захищених дітей
   *[other] пошуків торкнулися захищених дітей
}
home-peers = Інші учасники
home-peers-unknown = Їх зараз опитують. Погляньте ще раз за мить.
home-peers-reached = на зв'язку { $there } з { $all }
home-log = Журнал
home-log-good = цілий і підписаний
home-log-not-signed = зараз не підписується
home-log-findings = дещо виявлено
home-log-size = { $count ->
    [one] { $count } запис
    [few] { $count } записи
   *[other] { $count } записів
}
home-records = Записів у реєстрі
home-searchable = Записів, які можуть знайти інші
home-key = Ключ коаліції
home-key-none = ще не створено
home-key-holder = чинний; вузол має частку
home-key-other = чинний; частки мають інші
home-quotas = Що залишилося від квот на сьогодні
home-quotas-none = Інші учасники ще не повідомили, що залишилося.
quota-evaluations_per_day = Токени на добу
quota-subjects_per_day = Діти на добу
quota-enrolment = Токени для реєстру
column-member = Учасник
column-quota = Квота
column-left = Залишилося
column-limit = З
column-name = Ім'я
column-roles = Ролі
column-state = Стан

# Люди.
people-title = Люди
people-list = Облікові записи
people-add-title = Новий обліковий запис
people-add = Створити обліковий запис
people-name-hint = Літери, цифри й знаки . _ - ; з цим ім'ям особа входитиме.
people-roles = Що особа може робити
people-need-roles = Виберіть щонайменше одну роль
people-pseudonym = Псевдонім у журналі
people-code-title = Одноразовий код
people-code-for = Код для { $name }
people-code-text = Передайте його особі безпечним шляхом. Він діє один раз, і показують його лише зараз; з ним особа отримає обліковий запис і встановить пароль.
people-reset-title = Загублено пароль або автентифікатор
people-reset = Створити новий код
people-close-title = Закрити обліковий запис назавжди
people-close-sure = Закритий обліковий запис не можна відкрити знову
people-close-yes = Я впевнений або впевнена
people-close = Закрити обліковий запис
role-caseworker = Фахівець із розшуку
role-caseworker-hint = Шукає дітей і запитує відомості в інших учасників
role-approver = Особа, яка погоджує
role-approver-hint = Вирішує, що повідомити іншим учасникам
role-steward = Розпорядник реєстру
role-steward-hint = Веде реєстр
role-administrator = Адміністратор
role-administrator-hint = Створює й змінює облікові записи
role-auditor = Контролер
role-auditor-hint = Бачить, що запитували й вирішували, без персональних даних, і перевіряє самостійні розкриття
account-invited = запрошено
account-active = чинний
account-locked = заблоковано
account-closed = закрито

# Поля запису.
field-record_ref = Номер запису
field-family_name = Прізвище
field-given_name = Ім'я
field-patronymic = По батькові
field-other_names = Інші імена
field-sex = Стать
field-date_of_birth = Дата народження
field-place_of_birth = Місце народження
field-citizenship = Громадянство
field-mother_family_name = Прізвище матері
field-mother_given_name = Ім'я матері
field-father_family_name = Прізвище батька
field-father_given_name = Ім'я батька
field-document_type = Вид документа
field-document_number = Номер документа
field-last_known_place = Останнє відоме місце
field-current_place = Де дитина тепер
field-current_carer = Хто опікується дитиною
field-status = Що сталося з дитиною
field-protection = Захист
field-consent = Підстава для розшуку
field-family_ref = Номер родини
field-source = Джерело
field-note = Примітка
console-unknown = Невідомо
console-need-purpose = Зазначте мету
console-need-legal_basis = Зазначте правову підставу
console-need-case_reference = Уведіть номер вашої справи
console-need-record_ref = Уведіть номер
console-need-justification = Поясніть, навіщо потрібні ці відомості
console-need-text = Напишіть щось
column-case = Справа
column-child = Дитина
column-grade = Остання відповідь
column-changed = Змінено
column-when = Коли
column-what = Що
column-outcome = Що з цього вийшло
column-field = Поле
column-ours = Що маємо ми
column-theirs = Що повідомили вони
column-compared = Порівняння
column-asking = Хто запитує
column-deadline = Відповісти до
column-fields = Поля
column-ground = На якій підставі
column-value = Що каже наш запис
column-why = Яке правило вирішує
column-reference = Номер
column-protection = Захист
column-answered = Що відповіли
column-attribute = Ознака
column-line = Рядок
column-organisation = Орган
column-part = Роль у коаліції
column-reached = Зв'язок
column-certain = Якщо збіг певний
column-uncertain = Якщо ні

# Навіщо запитують.
ask-purpose = Мета
ask-purpose-family_tracing = Розшук родини
ask-purpose-reunification = Возз'єднання родини
ask-purpose-identity_verification = Встановлення особи
ask-purpose-child_protection = Захист дитини
ask-purpose-audit = Перевірка
ask-basis = Правова підстава
ask-basis-consent = Згода дитини або її представника
ask-basis-vital_interest = Життєво важливі інтереси дитини
ask-basis-public_interest = Завдання в суспільних інтересах, визначене законом
ask-basis-legal_obligation = Обов'язок за законом
ask-basis-court_order = Рішення суду
ask-case = Номер вашої справи
ask-case-hint = Не більше 64 знаків. Його бачать інші учасники: жодного імені чи дати дитини.
ask-case-long = Номер має не більше 64 знаків

# Пошук.
search-title = Шукати дитину
search-text = Напишіть, що знаєте, кирилицею або латиницею, так, як знаєте. Імена порівнюються незалежно від письма й написання. Невідоме пропустіть.
search-own = Або: номер запису в нашому реєстрі
search-own-hint = Тоді залиште поля вище порожніми: усе скаже запис.
search-button = Шукати в усіх учасників
search-need-child = Опишіть дитину або вкажіть номер запису
search-both = Подайте або опис, або номер, а не обидва
search-no-record = У реєстрі немає запису з таким номером
search-too-little = Про дитину відомо замало, щоб її шукати: вкажіть щонайменше ім'я та дату народження або номер документа.
search-answers = Відповіді учасників
search-to-case = Справа
search-began = Початок
search-progress = Відповіли { $answered } з { $asked } учасників.
search-answer = Відповідь
search-no-answer = відповіді немає
search-late = Не відповів. Можливо, він не працює; шукайте пізніше ще раз.
search-more = Вирішальним було б
search-more-mother = ім'я та прізвище матері
search-more-document = номер документа
search-more-place = місце
search-more-sibling = брат або сестра
search-lead = Слід
search-ask = Запитати відомості
search-grade-MATCH = збіг
search-grade-POSSIBLE = можливий збіг
search-grade-NO_MATCH = збігу немає
search-picture = Кого запитали
search-said-MATCH = збіг
search-said-POSSIBLE = можливий збіг
search-said-NO_MATCH = збігу немає
search-said-silent = відповіді немає
search-ended = Пошук завершено
search-found = Можливо, хтось із учасників має запис про цю дитину. Погляньте на сліди вище.
search-missed = Жоден з учасників, які відповіли, не має відповідного запису. Це не означає, що дитини там немає: вона може бути відома під іншим іменем, або її запис захищено.
search-nobody = Ніхто не відповів. Шукайте пізніше ще раз.
hint-date_of_birth = Наскільки відомо: вистачить самого року.
hint-other_names = Колишні та інші імена через ;
hint-family_ref = Однаковий для всіх записів однієї родини
hint-citizenship = Коди країн через ;
hint-protection = "ніхто не знаходить": пошук нічого не дає, а вам повідомляють, що хтось шукав.
hint-consent = Без підстави запис зберігають, і ніхто не може його знайти.
value-sex-M = чоловіча
value-sex-F = жіноча
value-sex-X = інша або не зазначена
value-protection-none = немає
value-protection-alert = повідомляти нам, коли дитину шукають
value-protection-human_only = щоразу вирішує людина
value-protection-silent = ніхто не знаходить дитини
value-consent-none = немає: запису ніхто не знайде
value-consent-tracing = згода на розшук
value-consent-guardian = згода опікуна
value-consent-vital_interest = життєво важливий інтерес
value-consent-legal_obligation = обов'язок за законом
problem-FIELD = Це неможливо прочитати: напишіть інакше або залиште порожнім.
problem-RECORD_REF = Номер не має пробілів на краях і довший за 128 знаків бути не може.
problem-NO_ROSTER = Списку учасників ще немає, тому нікого запитати. Його має встановити адміністратор вузла.
problem-QUOTA_EXCEEDED = Квоту на сьогодні вичерпано. Спробуйте завтра або попросіть секретаріат про більшу.

# Справи.
cases-title = Справи
cases-list = Справи, найновіші зміни вгорі
cases-none = Справ ще немає. Справу відкриває пошук.
cases-new = Шукати дитину
case-title = Справа { $case }
case-timeline = Що зроблено, у часі
case-timeline-words = { $count ->
    [one] Зроблено { $count } дію, перша – { $first }, остання – { $last }.
    [few] Зроблено { $count } дії, перша – { $first }, остання – { $last }.
   *[other] Зроблено { $count } дій, перша – { $first }, остання – { $last }.
}
case-events = Що зроблено
case-events-none = Ще нічого не зроблено.
case-searched = Пошук в усіх учасників
case-searched-nightly = Самостійний нічний пошук
case-answers = Відповіді
case-asked = Запит на відомості до { $member }
case-asked-look = Що повідомили
case-note-by = Нотатка, { $name }
case-note-title = Нотатка
case-note = Нотатка
case-note-hint = Її бачать лише люди нашої установи.
case-note-add = Додати нотатку
case-again-title = Шукати ще раз
case-again = Шукати ще раз
case-nightly-title = Нічний пошук
case-nightly-on = шукають щоночі
case-nightly-is = Дитину самостійно шукають щоночі.
case-nightly-off = Самостійно дитину не шукають.
case-nightly-start = Шукати дитину щоночі
case-nightly-stop = Більше не шукати вночі
case-erase-title = Знищити справу
case-erase-text = Справу буде знищено разом з пошуками, слідами й нотатками. Записане в журналі залишиться там.
case-erase = Знищити справу

# Запит і повідомлене.
disclose-title = Запитати відомості в { $member }
disclose-text = Учасник, який має запис, вирішує щодо кожного поля окремо. Запитуйте лише потрібне: його люди бачать, що ви запитуєте й навіщо.
disclose-fields = Що вам треба знати?
disclose-fields-hint = Виберіть одне або кілька
disclose-need-fields = Виберіть щонайменше одне поле
disclose-why = Навіщо це вам?
disclose-why-hint = Це читають ті, хто вирішує. Це буде підписано й збережено.
disclose-by = До якого дня потрібна відповідь, якщо це терміново?
disclose-by-hint = Залиште порожнім, якщо не терміново.
disclose-by-wrong = Уведіть повну дату або залиште порожнім
disclose-button = Запитати
told-title = Що повідомив { $member }
told-table = Поле за полем
told-until = Знищити після
told-outdated = відтоді змінилося
told-waiting = має вирішити людина
told-withheld = не повідомлено
told-new = нове для нас
told-same = однакове
told-differs = відрізняється
told-again-text = Запитайте ще раз, щоб побачити, що вирішено. Дозволене тоді буде повідомлено.
told-again = Запитати ще раз
told-take-back = Відкликати запит
request-requested = надіслано
request-waiting = чекає на рішення
request-partly_granted = дозволено частково
request-granted = дозволено
request-refused = відмовлено
request-expired = строк минув
request-withdrawn = відкликано
request-corrected = відтоді виправлено

# Запити інших.
inbox-title = Що запитують інші
inbox-list = Запити, які чекають, найближчий строк угорі
inbox-none = Жоден запит не чекає на рішення.
inbox-none-ever = Ще ніхто нічого не запитував.
inbox-all = Усі запити
inbox-overdue = прострочено
inbox-review-due = треба перевірити
inbox-request-title = Запит від { $member }
inbox-their-case = Їхня справа
inbox-asked-at = Запитано
inbox-why = Навіщо їм це
inbox-record = Наш запис
inbox-record-gone = знищено
inbox-found = Як знайдено
inbox-certain = певно, і дані про особу дитини відтоді не змінилися
inbox-uncertain = непевно: збіглися лише імена й дати
inbox-fields = Що запитують
inbox-no-value = У нашому записі цього немає
inbox-approvals = { $have } з { $needed } погоджень
inbox-told = повідомлено
inbox-history = Що вже вирішено
inbox-decide = Рішення
inbox-choose = Які поля?
inbox-choose-hint = Рішення стосується вибраних полів; інші чекають далі.
inbox-need-fields = Виберіть поля, щодо яких вирішуєте
inbox-approve = Дозволити
inbox-deny = Відмовити
inbox-alone = Розкрити самостійно, у надзвичайному випадку
inbox-alone-note = Самостійне розкриття – для загрози життю. Так його й записують у журналі, а потім перевіряє хтось інший.
inbox-withdraw-title = Що повідомлено
inbox-withdraw = Відкликати повідомлене
inbox-review-title = Самостійне розкриття
inbox-review-right = Воно було правильним
inbox-review-wrong = Воно було неправильним
field-state-granted = дозволено
field-state-waiting = чекає
field-state-refused = відмовлено
problem-REQUEST_CHANGED = Запит змінився, поки ви на нього дивилися. Погляньте на нього тепер і вирішіть знову.
problem-REQUEST_CLOSED = Запит більше не можна вирішувати: його вирішено, відкликано або строк минув.
problem-REQUEST_EDITED = Запит або запис змінився, поки ви на нього дивилися. Погляньте на нього тепер і вирішіть знову.
problem-SELF_APPROVAL = Ви внесли або змінили цей запис, тому вирішувати має хтось інший.
problem-APPROVED_ALREADY = Ви вже дозволили це: потрібна інша людина.
problem-NOT_WAITING = Вибране поле вже не чекає на рішення. Погляньте на запит тепер.
problem-BREAK_GLASS_NOT_PERMITTED = Правила не дозволяють одній людині розкрити це самостійно.
problem-NO_REVIEW_DUE = Перевіряти нічого, або розкриття вже перевірено.
problem-SELF_REVIEW = Ніхто не перевіряє власного розкриття: це має зробити хтось інший.
problem-RECORD_GONE = Запису в реєстрі вже немає: вирішувати нічого.
problem-LEAD_EXPIRED = Слід застарів. Шукайте ще раз, щоб отримати новий.
problem-LEAD_UNKNOWN = Учасник більше не знає цього сліду. Шукайте ще раз, щоб отримати новий.
problem-LOG_NOT_SIGNED = Журнал зараз неможливо підписати, тому нічого, що має в ньому стояти, не роблять. Повідомте адміністратора вузла.
problem-TIMED_OUT = Цей учасник не відповів вчасно.
problem-TOO_FEW_KEYHOLDERS = Замало учасників, які допомагають створювати токени, на зв'язку. Спробуйте пізніше.
problem-UNAVAILABLE = Цей учасник зараз не може відповісти. Спробуйте пізніше.
problem-PURPOSE_NOT_PERMITTED = Коаліція не дозволяє нашому учасникові запитувати з цією метою.
problem-REFUSED_HERE = Цей учасник не відповідає нашому з цією метою.
problem-BAD_ANSWER = Цей учасник дав недійсну відповідь. Її не використано.

# Реєстр.
register-title = Наш реєстр
register-list = Записи
register-none = Реєстр порожній. Внесіть його.
register-more = Наступні записи
register-import = Внести реєстр
register-new = Внести запис
register-taken = У реєстрі вже є запис із таким номером. Знайдіть його, щоб виправити, або вкажіть інший номер.
register-find = Знайти
register-find-title = Знайти запис за номером
register-publish = Відкрити нові й змінені записи для пошуку
register-publishing = Записи відкриваються для пошуку
register-publishing-text = Зроблено { $done } з { $total }. Погляньте ще раз за мить.
register-publish-failed = Не всі записи вдалося відкрити для пошуку
record-state-pending = новий або змінений
record-state-enrolled = готовий
record-state-published = відкритий для пошуку
record-state-not_searchable = закритий для пошуку
record-state-silent = прихований
record-state-withheld = утримується до повторного імпорту
record-title = Запис { $reference }
record-looked = Хто шукав цю дитину й отримав відповідь
record-looked-none = Ніхто.
record-correct = Виправити або захистити
record-correct-text = Збережене замінить теперішній запис. Інші знайдуть зміну після наступного відкриття; ті, кому повідомили старе значення, дізнаються, що воно змінилося.
record-erase-title = Знищити запис
record-erase-text = Ключ запису буде знищено. Відновити його не зможе ніхто, а ті, кому щось повідомили, це знищать.
record-erase = Знищити запис
record-search-title = Шукати цю дитину в інших учасників

# Внесення.
import-text = Файл CSV, JSON Lines або PFIF у кодуванні UTF-8. Нічого не внесуть, доки ви не побачите, що вдалося прочитати.
import-file = Файл
import-file-hint = Не більше 64 МБ. Більші реєстри вносять командою "wayhome records import".
import-need-file = Виберіть файл
import-upload = Подивитися файл
import-delimiter = Чим розділено стовпці
import-delimiter-hint = У файлі CSV
import-delimiter-comma = Кома ,
import-delimiter-semicolon = Крапка з комою ;
import-delimiter-tab = Табуляція
import-delimiter-bar = Риска |
import-date_order = Як читати дати на зразок 03/05/2014
import-date_order-hint = Дати на зразок 2014-05-03 читаються завжди.
import-date_order-day-first = Спершу день: 3 травня
import-date_order-month-first = Спершу місяць: 5 березня
import-consent = Підстава для розшуку, якщо рядок її не зазначає
import-consent-hint = Без підстави запис зберігають, і ніхто не може його знайти.
import-consent-nothing = Немає
import-consent-tracing = Згода на розшук
import-consent-guardian = Згода опікуна
import-consent-vital_interest = Життєво важливий інтерес
import-consent-legal_obligation = Обов'язок за законом
import-check = Що вдалося прочитати
import-how = Як читати файл
import-column = Стовпець «{ $name }» файлу
import-pass-over = Пропустити
import-unreadable = Так файл прочитати неможливо
import-readable = Рядків прочитано
import-rejected = Рядків не прочитано
import-rejects = Зберегти їх із поясненням
import-errors = Що не вдалося прочитати
import-errors-none = Усі рядки прочитано.
import-skip = Якщо якісь рядки прочитати неможливо
import-skip-yes = Внести решту
import-need-skip = Деякі рядки прочитати неможливо: виправте їх або погодьтеся внести решту
import-check-again = Перевірити ще раз
import-import = Внести
imported-title = Реєстр внесено
imported-added = Додано
imported-changed = Змінено
imported-unchanged = Без змін
imported-not-searchable = Закриті для пошуку: відомо замало, немає підстави або запис прихований
imported-grounds-lost = { $count ->
    [one] { $count } запис мав підставу для розшуку й більше не має, бо файл її не зазначає.
    [few] { $count } записи мали підставу для розшуку й більше не мають, бо файл її не зазначає.
   *[other] { $count } записів мали підставу для розшуку й більше не мають, бо файл її не зазначає.
}
imported-next = Інші знайдуть нові записи, щойно ви відкриєте їх для пошуку.
problem-EMPTY_IMPORT = У файлі немає жодного запису.
problem-INDEX_CAP = Записів стало б більше, ніж дозволяє нам коаліція. Попросіть секретаріат про більшу межу.

# Розгляд.
review-title = Що відповіли іншим про наших дітей
review-text = Тут лише те, що щось знайшло. Значень іншої сторони нам не надсилають: порівнюються токени.
review-possible = Можливі збіги, які має розглянути людина
review-possible-none = Таких немає.
review-other = Інші відповіді
review-other-none = Таких немає.
review-finding = Знахідка
review-weight = Вага
review-weight-words = { $weight }; від { $match } це збіг, від { $possible } можливий збіг
review-side = Наш запис і порівняння
review-side-none = Про нього більше нічого не відомо.
class-family-name = Прізвище
class-given-name = Ім'я
class-father-s-name = Ім'я батька
class-sex = Стать
class-date-of-birth = Дата народження
class-place-of-birth = Місце народження
class-mother-s-family-name = Прізвище матері
class-mother-s-given-name = Ім'я матері
class-document-number = Номер документа
class-last-known-place = Останнє відоме місце
class-kind-of-names = Вид імен
compared-agrees = збігається
compared-agrees_in_part = збігається частково
compared-differs = відрізняється
compared-untold = сказати неможливо
compared-missing_there = вони цього не мають
compared-missing_here = ми цього не маємо
compared-missing_both = не має ніхто
alerts-title = Хто шукав захищених дітей
alerts-text = Тим, хто шукав, не сказали нічого, з чого видно, що ви про це знаєте.
alerts-none = Ніхто.
alerts-seen = відзначено
alerts-open = нове
alerts-see = Усе взято до відома

# Перевірка.
audit-title = Журнал
audit-text = Кожна дія цього вузла стоїть у його журналі. Свідки підписують те, що бачили, тому непомітно змінити його неможливо.
audit-origin = Назва журналу
audit-size = Записів
audit-served = Записів, показаних свідкам
audit-cosigned = Засвідчили
audit-witnesses = Свідки
audit-nobody = ніхто
audit-promises = Обіцянки інших, які ще відкриті
audit-broken = Порушені обіцянки інших
audit-kept = Обіцянки, виконання яких щойно побачено
audit-cosignatures = Підписи свідків під останнім станом
audit-check = Перевірити зараз
audit-checked = Журнал перевірено
audit-checked-good = Останній стан показано свідкам; порушених обіцянок інших учасників і журналів із двома історіями не виявлено.
audit-checked-bad = Порушено обіцянку іншого учасника: того, що він нібито записав, у його журналі немає. Повідомте омбудсмана.
audit-checked-split = Журнал іншого учасника має дві історії: одним показує одне, а іншим інше. Про це сказано на сторінці журналу, доказ дає "wayhome log show". Повідомте омбудсмана.
audit-checked-both = Порушено обіцянку іншого учасника, і чийсь журнал має дві історії: одним показує одне, а іншим інше. Про це сказано на сторінці журналу, доказ дає "wayhome log show". Повідомте омбудсмана.
audit-splits = Журнали, в яких щойно виявлено дві історії
audit-findings = Що виявлено
audit-findings-none = Нічого не виявлено.
audit-unusual = Незвичне використання
audit-unusual-none = Нічого незвичного.
audit-ombudsman = Для омбудсмана
audit-ombudsman-text = Омбудсман перевіряє журнал запис за записом, зіставляє його з журналами інших і складає звіти ззовні, з власним ключем: "wayhome audit". Консоль цього не замінює: ніхто не перевіряє сам себе.

# Учасники й налаштування.
members-title = Коаліція
members-roster = Версія списку учасників
members-in-force = чинна
members-digest = Її відбиток
members-expires = Чинна до
members-vouched = Більшість учасників визнавала її найновішою до
members-never = невідомо
members-list = Учасники
members-none = Списку учасників ще немає.
members-member = має реєстр
members-keyholder = допомагає створювати токени
members-ombudsman = омбудсман
members-own = цей вузол
members-suspended = призупинено
members-reached = на зв'язку
members-not-reached = зв'язку немає
members-test = Перевірити зв'язок
settings-title = Що повідомляють іншим
settings-text = Щодо кожного поля вирішують правила цього учасника. Таблиця каже, що з них випливає для розшуку родини в життєво важливих інтересах дитини, якщо запис без захисту.
settings-explained = Чого потребує кожне поле
settings-refused = Найновіші правила відхилено, чинні попередні
settings-policy = Правила
settings-digest = Їхній відбиток
settings-more = Інші налаштування
settings-more-text = Правила – це файл policy.cedar у каталозі вузла, а сповіщення й відмови цього вузла зазначено в node.toml. Їх змінює адміністратор вузла; допомагають команди "wayhome policy check" і "wayhome policy explain".
needs-granted = повідомляється одразу
needs-one_approval = погоджує одна людина
needs-two_approvals = погоджують дві людини
needs-refused = не повідомляється

console-own-account = Як ви входите:
ways-provider = Увійти через { $provider }
ways-provider-title = Вхід через іншу службу
ways-provider-declined = Постачальник ідентифікації не підтвердив вхід. Спробуйте ще раз або увійдіть із паролем і кодом.
ways-passkey = Увійти з ключем доступу
ways-passkey-title = Вхід із ключем доступу
ways-passkey-text = Ключ доступу зберігається на вашому телефоні, комп'ютері чи апаратному ключі й відкривається пальцем, обличчям або PIN-кодом. Потрібен браузер, який знає ключі доступу й виконує скрипти; без нього входьте з паролем і кодом.
ways-passkey-failed = Ключа доступу не надано. Спробуйте ще раз або увійдіть із паролем і кодом.
ways-password = Увійти з паролем і кодом
ways-unknown-title = Жоден обліковий запис із вами не пов'язано
ways-unknown = Постачальник ідентифікації вас знає, але жоден обліковий запис тут із вами не пов'язано. Передайте ідентифікатор нижче адміністраторові: він пов'яже його з вашим обліковим записом.
ways-subject = Ідентифікатор у постачальника ідентифікації
account-title = Як ви входите
account-text = Крім пароля й коду можна входити з ключем доступу: це швидше, і його не можна видати помилково.
account-passkeys = Ваші ключі доступу
account-passkeys-none = У вас немає ключа доступу.
account-passkey-nameless = Ключ доступу без назви
account-passkey-remove = Вилучити { $name }
account-passkey-new = Новий ключ доступу
account-passkey-note = Ключ доступу діє для того імені, за яким ви зараз відкрили цю консоль. Щоб створити його, потрібен браузер, який знає ключі доступу й виконує скрипти.
account-passkey-label = Як ви його назвете
account-passkey-label-hint = Наприклад: мій телефон
account-passkey-add = Створити ключ доступу
account-passkey-failed = Браузер не створив ключа доступу. Можливо, він уже є, або консоль треба відкрити за іменем, а не за числовою адресою.
people-link-title = Вхід через { $provider }
people-link-hint = Хто входить там і не має облікового запису, бачить свій ідентифікатор і передає його вам. Порожньо: обліковий запис не пов'язано.
problem-PASSKEY_REFUSED = Ключ доступу не підійшов. Спробуйте ще раз або увійдіть із паролем і кодом.
problem-PASSKEY_HOST = Ключі доступу діють для імені, а не для числової адреси. Відкрийте консоль за її іменем.
problem-PASSKEY_COUNT = У вас десять ключів доступу, більше не можна. Спершу вилучіть один.
problem-CHALLENGE_OLD = Сторінка старша за десять хвилин або її вже використано. Спробуйте ще раз.
problem-NO_PROVIDER = Для цієї консолі не вказано постачальника ідентифікації.
problem-PROVIDER_UNREACHABLE = Постачальник ідентифікації зараз недоступний. Спробуйте пізніше або увійдіть із паролем і кодом.
problem-PROVIDER_TICKET = Цей вхід розпочато не в цьому браузері, понад десять хвилин тому, або його вже використано. Почніть знову.
problem-PROVIDER_REFUSED = Відповідь постачальника ідентифікації недійсна, тому нікого не впущено. Причину адміністратор знайде в повідомленнях вузла.
problem-LINK_TAKEN = З цим ідентифікатором пов'язано інший обліковий запис.
problem-SUBJECT = Ідентифікатор має від 1 до 255 літер, цифр і знаків без пропусків.
inbox-reason = Чому відмовлено
inbox-reason-hint = Лише для відмови. Учасник, який запитує, дізнається це й більше нічого; тут нема нічого про дитину.
inbox-reason-none = Не називати причини
denial-purpose_unclear = Незрозуміло, навіщо це для зазначеної мети
denial-ground_insufficient = Зазначена правова підстава тут цього не дозволяє
denial-too_much = Запитано більше, ніж потрібно
denial-other_way = Про це треба запитувати інакше, наприклад через уповноважений орган або суд
told-denied = Чому в частині відмовлено
request-event-approved = Схвалено
request-event-released_alone = Надано одноосібно
request-event-denied = Відмовлено
request-event-review_due = Одноосібне надання ще слід перевірити
request-event-upheld = Надання визнано правильним
request-event-not_upheld = Надання визнано неправильним
request-event-expired = Його час минув
request-event-taken_back = Учасник, який запитував, відкликав запит
request-event-withdrawn = Відкликано разом із наданим
request-event-erased = Запису або його підстави вже немає
inbox-no-rule = Жодне правило цього не дозволяє
inbox-rules = За правилом { $rules }
audit-growth = Як зростав журнал
audit-growth-words = Від { $first } до { $last } записів за { $days ->
    [one] { $days } день
    [few] { $days } дні
   *[other] { $days } днів
}.
home-searches = Пошуки за днями
home-searches-words = За { $days ->
    [one] { $days } день
    [few] { $days } дні
   *[other] { $days } днів
}: наших запитів { $ours } (синій), відповідей іншим учасникам { $theirs } (зелений).
home-disclosures = Що було надано, за днями
home-disclosures-words = За { $days ->
    [one] { $days } день
    [few] { $days } дні
   *[other] { $days } днів
}: відповідей інших учасників нам { $ours } (синій), наших відповідей їм { $theirs } (зелений).
