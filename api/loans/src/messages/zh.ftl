before-due-subject = 您有一笔还款将于 { $due } 到期
before-due-body =
    您好，这是关于贷款 { $loan } 的提醒。
    { $due } 将有 { $amount } { $currency } 到期。如已安排还款，无需任何操作。
due-today-subject = 您的还款今天到期
due-today-body =
    您好，贷款 { $loan } 的 { $amount } { $currency } 今天（{ $due }）到期。
overdue-subject = 您的贷款还款已逾期 { $days } 天
overdue-body =
    您好，贷款 { $loan } 应于 { $due } 归还的 { $amount } { $currency } 我们尚未收到。
    如您已还款，请忽略本消息。
overdue-help-subject = 我们一起想办法
overdue-help-body =
    您好，贷款 { $loan } 的 { $amount } { $currency } 自 { $due } 起到期未还。
    如果目前还款有困难，请告诉我们。您可以暂停几期或减少每期金额，避免情况变坏。
ways =
    还款方式：钱包余额；银行转账（附言填写 { $loan }）；或按钱包内报价使用支持的数字币。
    申请延期：在钱包中打开该贷款，选择“我需要更多时间”，先查看新的还款计划，再决定是否接受。
    在同一页面，您也可以承诺还款日期、对金额提出异议，或停止接收提醒。
offer-subject = 为您准备了更轻松的还款计划
offer-body =
    您好，贷款 { $loan } 近期还款可能会有压力，我们为您准备了每期金额更小的计划。
    这只是一个方案：您不接受，任何内容都不会改变；有效期至 { $until }。决定之前您可以看到全部数字。
stop-line = 如需停止接收提醒，请打开 { $link }
stop-title = 停止提醒
stop-ask = 您确定要在所有渠道停止接收关于贷款的提醒吗？
stop-button = 停止提醒
stop-done = 您将不再收到提醒。您的欠款和权利不受影响。
warning-days_past_due = 有一笔还款已逾期 { $value } 天。
warning-paid_later_each_time = 最近几期还款一次比一次晚（逾期天数：{ $value }）。
warning-bounced_payments = 近期被退回或撤销的付款：{ $value } 笔。
warning-missed_payments = 近期未按时归还的期数：{ $value }。
warning-balance_below_next = 钱包余额低于下一期还款所需（{ $value }，最小货币单位）。
warning-balance_falling = 钱包余额正在下降（{ $value }，最小货币单位）。
warning-utilisation_above = 已使用的授信额度比例：{ $value }。
statement-title = 贷款对账单
statement-of = 截至 { $date }
statement-loan = 贷款
statement-borrower = 借款人
statement-status = 状态
statement-outstanding = 未偿余额
statement-due = 当前应还
statement-principal = 本金
statement-interest = 利息
statement-fees = 费用
statement-penalty = 罚息
statement-total = 合计
statement-lines = 已到期款项
statement-coming = 未来还款
statement-payments = 还款记录
statement-date = 日期
statement-number = 期数
statement-paid = 已还
statement-open = 未还
statement-held = 预存待抵下一期
statement-none = 无
status-active = 正常
status-overdue = 逾期
status-settled = 已结清
status-charged_off = 已核销
plot-title = 每期本金与利息
plot-before = 原计划
plot-after = 现计划
error-loan_amount_out_of_range = 金额必须大于零，且不能过大。
error-loan_rate_out_of_range = 利率必须是 0 到 10 之间、最多八位小数的数字。
error-loan_term_out_of_range = 贷款期数须为 1 至 1200 期。
error-loan_currency_mismatch = 还款币种与贷款币种不同。
error-loan_event_before_disbursement = 日期早于放款日。
error-loan_product_unknown = 没有该贷款产品。
error-loan_unknown = 没有该贷款。
error-loan_preview_changed = 贷款在您查看预览之后发生了变化，请重新获取预览。
error-loan_closed = 贷款已结清或已核销。
