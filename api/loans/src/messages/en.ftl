before-due-subject = A payment is coming up on { $due }
before-due-body =
    Hello, this is a note about your loan { $loan }.
    { $amount } { $currency } will be due on { $due }. If you have set this up already, there is nothing to do.
due-today-subject = Your payment is due today
due-today-body =
    Hello, { $amount } { $currency } on your loan { $loan } is due today, { $due }.
overdue-subject = A payment on your loan is { $days ->
        [one] one day late
       *[other] { $days } days late
    }
overdue-body =
    Hello, { $amount } { $currency } on your loan { $loan } was due on { $due } and has not reached us.
    If you have paid in the meantime, please ignore this message.
overdue-help-subject = Let us find a way for your loan
overdue-help-body =
    Hello, { $amount } { $currency } on your loan { $loan } has been due since { $due }.
    If paying is hard right now, tell us. You can pause instalments or make them smaller before anything gets worse.
ways =
    How to pay: from your wallet balance, by bank transfer with the reference { $loan }, or with a supported coin at the rate quoted in the wallet.
    How to ask for a deferral: open the loan in the wallet, choose "I need more time" and look at the new plan before you accept it.
    You can promise a date, dispute the amount, or stop these reminders in the same place.
offer-subject = An easier plan for your loan
offer-body =
    Hello, your loan { $loan } may become hard to pay soon, so we have worked out a plan with smaller payments.
    It is an offer: nothing changes unless you accept it, and it is open until { $until }. You see every number before you decide.
stop-line = To stop these reminders, open { $link }
stop-title = Stop reminders
stop-ask = Do you want to stop all reminders about your loans, on every channel?
stop-button = Stop reminders
stop-done = You will get no more reminders. What you owe and your rights do not change.
warning-days_past_due = A payment is { $value } days late.
warning-paid_later_each_time = The last payments came later each time (days late: { $value }).
warning-bounced_payments = Payments that bounced or were taken back lately: { $value }.
warning-missed_payments = Instalments that were missed lately: { $value }.
warning-balance_below_next = The wallet holds less than the next payment needs ({ $value }, in minor units).
warning-balance_falling = The wallet's balance is falling ({ $value }, in minor units).
warning-utilisation_above = This share of the credit limit is used: { $value }.
statement-title = Loan statement
statement-of = Statement of { $date }
statement-loan = Loan
statement-borrower = Borrower
statement-status = Status
statement-outstanding = Outstanding
statement-due = Due now
statement-principal = Principal
statement-interest = Interest
statement-fees = Fees
statement-penalty = Late interest
statement-total = Total
statement-lines = What was due
statement-coming = What is to come
statement-payments = Payments
statement-date = Date
statement-number = No.
statement-paid = Paid
statement-open = Open
statement-held = Held for the next instalment
statement-none = None
status-active = on schedule
status-overdue = overdue
status-settled = settled
status-charged_off = written off
plot-title = Principal and interest of each instalment
plot-before = As agreed
plot-after = As it stands
error-loan_amount_out_of_range = The amount must be above zero and not too large.
error-loan_rate_out_of_range = The rate must be a decimal between 0 and 10 with at most eight places.
error-loan_term_out_of_range = A loan has 1 to 1200 instalments.
error-loan_currency_mismatch = The payment is in another currency than the loan.
error-loan_event_before_disbursement = The date is before the loan was paid out.
error-loan_product_unknown = There is no such loan product.
error-loan_unknown = There is no such loan.
error-loan_preview_changed = The loan has changed since you saw the preview. Please ask for a new one.
error-loan_closed = The loan is settled or written off.
